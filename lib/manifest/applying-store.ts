/** A store whose every write is an apply's: what the doors of administration write through it is fenced, and managed from then on. */
import { auditPk, configPk, ENTITY_LIMITS_SK, entityPk, META_SK } from '../store/schema.js';
import type { Item, ItemKey, Operation, Store, TransactionResult } from '../store/store.js';
import { type ApplyLease, overtakenBy } from './apply-lease.js';
import { Conflicted } from './conflict.js';
import { managedItem, managedKey } from './managed.js';
import { changeOf, type Thing, thingKey } from './thing.js';

/** A thing whose last change must be this one when it is written. */
export interface Expected {
  readonly thing: Thing;
  readonly change: string | null;
}

/**
 * Adds to each transaction the line of every thing that it changes or removes, and the lease's fence, so that they happen together or not at all.
 * Throws `Conflicted` when another apply took over, or when the thing that is expected to be as planned is otherwise.
 */
export function applyingStore(store: Store, namespace: string, lease: ApplyLease, expected?: Expected): Store {
  const key = expected && thingKey(namespace, expected.thing);
  const isExpected = (operation: Operation) => key !== undefined && sameKey(keyOf(operation), key);
  const conditional = (operation: Operation): Operation => {
    if (!isExpected(operation) || (operation.kind !== 'update' && operation.kind !== 'remove')) return operation;
    return { ...operation, ifEqual: { ...operation.ifEqual, change: expected?.change ?? undefined } };
  };
  const transact = async (operations: readonly Operation[]): Promise<TransactionResult> => {
    const fence = lease.fence();
    const lines = lineOperations(namespace, operations);
    const result = await store.transact([...operations.map(conditional), ...lines, fence]);
    if (result.applied) return result;
    const fenceIndex = operations.length + lines.length;
    for (const { index, met } of result.failed) {
      if (index === fenceIndex) throw new Conflicted(overtakenBy(met));
      const operation = operations[index];
      if (expected !== undefined && operation !== undefined && isExpected(operation)) {
        if (met === undefined || (changeOf(met) ?? null) !== expected.change)
          throw new Conflicted({ reason: 'changed', thing: expected.thing });
      }
    }
    return result;
  };
  return {
    write: (write, options) => store.write(write, options),
    read: (bucket, options) => store.read(bucket, options),
    getItems: (keys, options) => store.getItems(keys, options),
    queryItems: (pk, prefix, options) => store.queryItems(pk, prefix, options),
    transact,
  };
}

/** The lines that go with operations: of what they remove none any more, of what they change the change, which they record in the history too. */
function lineOperations(namespace: string, operations: readonly Operation[]): readonly Operation[] {
  const audit = auditPk(namespace, '');
  const recorded = new Set(
    operations.flatMap((one) => (one.kind === 'put' && one.item.pk.startsWith(audit) ? [one.item.sk] : [])),
  );
  return operations.flatMap((operation): Operation[] => {
    const key = keyOf(operation);
    const id = key && idOfKey(namespace, key);
    if (id === undefined) return [];
    if (operation.kind === 'remove') return [{ kind: 'remove', key: managedKey(namespace, id) }];
    const change = operation.kind === 'put' ? operation.item.change : operation.kind === 'update' && operation.set?.change;
    // A record that only repeats what changed above it keeps its change.
    if (typeof change !== 'string' || !recorded.has(change)) return [];
    return [{ kind: 'put', item: managedItem(namespace, id, change) }];
  });
}

/** The id of the thing that an item is; undefined for all other items. */
function idOfKey(namespace: string, { pk, sk }: ItemKey): string | undefined {
  if (pk === configPk(namespace)) return sk;
  const entities = entityPk(namespace, '');
  if (!pk.startsWith(entities)) return undefined;
  const id = `entity#${pk.slice(entities.length)}`;
  if (sk === META_SK) return id;
  return sk === ENTITY_LIMITS_SK || sk.startsWith(`${ENTITY_LIMITS_SK}#`) ? `${id}#${sk}` : undefined;
}

function keyOf(operation: Operation): ItemKey | Item | undefined {
  if (operation.kind === 'bucket') return undefined;
  return operation.kind === 'put' ? operation.item : operation.key;
}

const sameKey = (a: ItemKey | undefined, b: ItemKey): boolean => a?.pk === b.pk && a.sk === b.sk;
