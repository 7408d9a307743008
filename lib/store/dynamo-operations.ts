/** The parts of a transaction as DynamoDB requests: pure values, built here and sent elsewhere. */
import type { AttributeValue, TransactWriteItem } from '@aws-sdk/client-dynamodb';
import { marshall } from '@aws-sdk/util-dynamodb';
import { bucketUpdate } from './bucket-expressions.js';
import { PK, SK } from './schema.js';
import type { Equal, ItemKey, ItemUpdate, Operation } from './store.js';

export const marshalledKey = ({ pk, sk }: ItemKey): Record<string, AttributeValue> => marshall({ [PK]: pk, [SK]: sk });

export function transactItem(TableName: string, operation: Operation): TransactWriteItem {
  switch (operation.kind) {
    case 'put': {
      const { item, ifAbsent, ifEqual } = operation;
      return {
        Put: {
          TableName,
          Item: marshall(item, { removeUndefinedValues: true }),
          ...(ifAbsent && condition(ABSENT)),
          ...(ifEqual !== undefined && condition(presentWith(ifEqual))),
        },
      };
    }
    case 'update':
      return { Update: { TableName, ...itemUpdate(operation) } };
    case 'remove': {
      const { key, ifPresent, ifEqual } = operation;
      const conditional = ifPresent || ifEqual !== undefined;
      return { Delete: { TableName, Key: marshalledKey(key), ...(conditional && condition(presentWith(ifEqual))) } };
    }
    case 'requirePresent':
      return {
        ConditionCheck: { TableName, Key: marshalledKey(operation.key), ...condition(presentWith(operation.ifEqual)) },
      };
    case 'bucket':
      return { Update: bucketUpdate(TableName, operation.write) };
  }
}

/** The names, values and condition of one request. */
interface Expression {
  readonly names: Record<string, string>;
  readonly values: Record<string, unknown>;
  readonly conditions: readonly string[];
}

const ABSENT: Expression = { names: { '#pk': PK }, values: {}, conditions: ['attribute_not_exists(#pk)'] };

/** The item is there, and each of these attributes has exactly its value, or is not there. */
function presentWith(equal: Equal = {}): Expression {
  const entries = Object.entries(equal);
  const given = entries.flatMap(([, value], index) => (value === undefined ? [] : [[`:c${index}`, value] as const]));
  return {
    names: Object.fromEntries([['#pk', PK], ...entries.map(([attribute], index) => [`#c${index}`, attribute])]),
    values: Object.fromEntries(given),
    conditions: [
      'attribute_exists(#pk)',
      ...entries.map(([, value], index) =>
        value === undefined ? `attribute_not_exists(#c${index})` : `#c${index} = :c${index}`,
      ),
    ],
  };
}

function condition({ names, values, conditions }: Expression) {
  return {
    ConditionExpression: conditions.join(' AND '),
    ExpressionAttributeNames: names,
    ...(Object.keys(values).length > 0 && {
      ExpressionAttributeValues: marshall(values, { removeUndefinedValues: true }),
    }),
    ReturnValuesOnConditionCheckFailure: 'ALL_OLD' as const,
  };
}

function itemUpdate({ key, set = {}, add = {}, ifEqual }: ItemUpdate) {
  const expression = presentWith(ifEqual);
  const clause = (
    kind: string,
    attributes: readonly (readonly [string, unknown])[],
    text: (name: string, value: string) => string,
  ) =>
    attributes.map(([attribute, value], index) => {
      expression.names[`#${kind}${index}`] = attribute;
      if (value !== undefined) expression.values[`:${kind}${index}`] = value;
      return text(`#${kind}${index}`, `:${kind}${index}`);
    });
  const given = Object.entries(set).filter(([, value]) => value !== undefined);
  const taken = Object.entries(set).filter(([, value]) => value === undefined);
  const clauses = [
    ['SET', clause('s', given, (name, value) => `${name} = ${value}`)],
    ['REMOVE', clause('r', taken, (name) => name)],
    ['ADD', clause('a', Object.entries(add), (name, value) => `${name} ${value}`)],
  ] as const;
  const UpdateExpression = clauses
    .filter(([, parts]) => parts.length > 0)
    .map(([verb, parts]) => `${verb} ${parts.join(', ')}`)
    .join(' ');
  return { Key: marshalledKey(key), UpdateExpression, ...condition(expression) };
}
