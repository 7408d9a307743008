import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import type { ItemAction } from '../../infra/index.js';
import type { Statement } from './stack-template.js';

/** One permission that a call needs: DynamoDB asks for each item that a call names by itself. */
export interface NeededPermission {
  readonly action: ItemAction | 'BatchWriteItem' | 'Scan';
  readonly pk: string;
}

/** The permissions that a client's calls need from now on, by what is really sent. */
export function recordPermissions(client: DynamoDBClient): NeededPermission[] {
  const needed: NeededPermission[] = [];
  client.middlewareStack.add(
    (next, context) => (args) => {
      needed.push(...permissionsOf((context.commandName ?? '').replace(/Command$/, ''), args.input as Input));
      return next(args);
    },
    { step: 'initialize', name: 'recordPermissions' },
  );
  return needed;
}

type Key = { readonly pk?: { readonly S?: string } };
type Written = { readonly Key?: Key; readonly Item?: Key };

interface Input extends Written {
  readonly RequestItems?: Record<string, { readonly Keys?: readonly Key[] }>;
  readonly TransactItems?: readonly Record<string, Written>[];
  readonly ExpressionAttributeValues?: Record<string, { readonly S?: string }>;
}

/** What a transaction calls its parts, and the permission that each needs. */
const PARTS: Readonly<Record<string, ItemAction>> = {
  Put: 'PutItem',
  Update: 'UpdateItem',
  Delete: 'DeleteItem',
  ConditionCheck: 'ConditionCheckItem',
};

function permissionsOf(command: string, input: Input): NeededPermission[] {
  const of = (action: string, { Key, Item }: Written): NeededPermission => ({
    action: action as ItemAction,
    pk: (Key ?? Item)?.pk?.S ?? '',
  });
  switch (command) {
    case 'TransactWriteItems':
      return (input.TransactItems ?? []).flatMap((part) =>
        Object.entries(part).map(([kind, written]) => of(PARTS[kind] ?? kind, written)),
      );
    case 'BatchGetItem':
      return Object.values(input.RequestItems ?? {}).flatMap(({ Keys = [] }) => Keys.map((Key) => of(command, { Key })));
    case 'Query':
      return [{ action: 'Query', pk: partitionIn(input) }];
    default:
      return [of(command, input)];
  }
}

/** The partition that a query names: of all its values the one that is a partition key. */
function partitionIn({ ExpressionAttributeValues = {} }: Input): string {
  const partition = Object.entries(ExpressionAttributeValues).find(([name]) => /pk/i.test(name));
  if (partition?.[1].S === undefined)
    throw new Error(`Expected a value named :pk, got ${Object.keys(ExpressionAttributeValues).join(', ')}`);
  return partition[1].S;
}

/** Whether statements as CDK writes them allow a call, by actions and `dynamodb:LeadingKeys` alone: as IAM's StringLike reads them. */
export function allows(statements: readonly Statement[], { action, pk }: NeededPermission): boolean {
  return statements.some(({ Effect, Action, Condition }) => {
    const patterns = [Condition?.['ForAllValues:StringLike']?.['dynamodb:LeadingKeys'] ?? '*'].flat();
    return Effect === 'Allow' && Action.includes(`dynamodb:${action}`) && patterns.some((pattern) => like(pattern).test(pk));
  });
}

/** `*` any characters, `?` any one; `${*}`, `${?}` and `${$}` stand for the characters themselves. */
function like(pattern: string): RegExp {
  const parts = pattern.match(/\$\{[*?$]\}|[\s\S]/gu) ?? [];
  const source = parts.map((part) => {
    if (part === '*') return '[\\s\\S]*';
    if (part === '?') return '[\\s\\S]';
    const character = part.length > 1 && part.startsWith('${') ? part.charAt(2) : part;
    return character.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  });
  return new RegExp(`^${source.join('')}$`, 'u');
}
