/** Bucket writes as DynamoDB requests: pure values, built here and sent elsewhere. */
import type { AttributeValue, Update, UpdateItemCommandInput } from '@aws-sdk/client-dynamodb';
import { type LimitWrite, movesPosition, movesSlots } from '../core/branch.js';
import type { Position } from '../core/bucket.js';
import type { WindowBranch, WindowUse } from '../core/quota.js';
import type { SlotBranch, Slots } from '../core/slots.js';
import { FS_PER_MS } from '../core/time.js';
import {
  BUCKET_SK,
  type BucketKey,
  bucketPk,
  CONSUMED_PREFIX,
  DENIALS,
  FULL_AT_PREFIX,
  PK,
  REQUESTS,
  RESERVED_UNTIL,
  SCHEMA_VERSION,
  SK,
  SLOTS_PREFIX,
  TTL,
  USED_PREFIX,
  VERSION,
  WINDOW_PREFIX,
  WINDOW_START_PREFIX,
} from './schema.js';
import type { BucketState, BucketWrite } from './store.js';

/** The names, values and clauses of one request, gathered limit by limit. */
interface Clauses {
  readonly names: Record<string, string>;
  readonly values: Record<string, AttributeValue>;
  readonly set: string[];
  readonly remove: string[];
  readonly add: string[];
  readonly conditions: string[];
}

export function bucketItemKey(key: BucketKey): Record<string, AttributeValue> {
  return { [PK]: { S: bucketPk(key) }, [SK]: { S: BUCKET_SK } };
}

/** The UpdateItem of a bucket write. Its answer is the whole item as it was met, whether the write was applied or a condition failed. */
export function updateBucket(tableName: string, write: BucketWrite): UpdateItemCommandInput {
  return { ...bucketUpdate(tableName, write), ReturnValues: 'ALL_OLD', ReturnConsumedCapacity: 'NONE' };
}

/** The same write as a part of a transaction. */
export function bucketUpdate(tableName: string, write: BucketWrite) {
  const clauses: Clauses = {
    names: { '#v': VERSION, '#ttl': TTL },
    values: { ':v': number(SCHEMA_VERSION), ':ttl': number(write.ttl.seconds) },
    set: ['#v = :v', write.ttl.ifAbsent ? '#ttl = if_not_exists(#ttl, :ttl)' : '#ttl = :ttl'],
    remove: [],
    add: [],
    conditions: [],
  };
  write.limits.forEach((limit, index) => {
    limitClauses(clauses, limit, index);
  });
  if (write.reservedUntilFs !== undefined) {
    clauses.names['#r'] = RESERVED_UNTIL;
    clauses.values[':r'] = number(write.reservedUntilFs);
    clauses.set.push('#r = :r');
  }
  counter(clauses, '#n', REQUESTS, ':n', write.requests);
  counter(clauses, '#d', DENIALS, ':d', write.denials);
  return {
    TableName: tableName,
    Key: bucketItemKey(write.key),
    UpdateExpression: [clause('SET', clauses.set), clause('REMOVE', clauses.remove), clause('ADD', clauses.add)].join('').trim(),
    ...(clauses.conditions.length > 0 && { ConditionExpression: clauses.conditions.join(' AND ') }),
    ExpressionAttributeNames: clauses.names,
    ExpressionAttributeValues: clauses.values,
    ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
  } satisfies Update & UpdateItemCommandInput;
}

const clause = (verb: string, parts: readonly string[]): string => (parts.length > 0 ? `${verb} ${parts.join(', ')} ` : '');

/**
 * One limit's clauses. On the axis of stored z (see core/branch.ts):
 *
 *     idle       | busy             | refused
 *     z < :lo    | :lo <= z <= :hi  |
 */
function limitClauses(clauses: Clauses, limit: LimitWrite, index: number): void {
  const { names, values, set, conditions } = clauses;
  counter(clauses, `#u${index}`, CONSUMED_PREFIX + limit.name, `:u${index}`, limit.consumed);
  if (limit.branch.kind === 'unmoved') return;
  if (movesSlots(limit.branch)) {
    slotClauses(clauses, limit.name, limit.branch, index);
    return;
  }
  if (!movesPosition(limit.branch)) {
    windowClauses(clauses, limit.name, limit.branch, index);
    return;
  }
  const [z, w] = [`#z${index}`, `#w${index}`];
  const value = (name: string, fs: bigint): string => {
    const placeholder = `:${name}${index}`;
    values[placeholder] = { N: fs.toString() };
    return placeholder;
  };
  names[z] = FULL_AT_PREFIX + limit.name;
  names[w] = WINDOW_PREFIX + limit.name;
  const { branch } = limit;
  const window = value('w', limit.windowFs);
  switch (branch.kind) {
    case 'busy':
      conditions.push(`${z} BETWEEN ${value('lo', branch.minFs)} AND ${value('hi', branch.maxFs)}`, `${w} = ${window}`);
      if (branch.addFs !== 0n) set.push(`${z} = ${z} + ${value('a', branch.addFs)}`);
      return;
    case 'idle':
      conditions.push(`(attribute_not_exists(${z}) OR (${z} < ${value('lo', branch.belowFs)} AND ${w} = ${window}))`);
      set.push(`${z} = ${value('z', branch.fullAtFs)}`, `${w} = ${window}`);
      return;
    case 'replace':
      conditions.push(`${z} = ${value('sz', branch.seen.fullAtFs)}`, `${w} = ${value('sw', branch.seen.windowFs)}`);
      set.push(`${z} = ${value('z', branch.fullAtFs)}`, `${w} = ${window}`);
      return;
    case 'shift':
      conditions.push(`(attribute_not_exists(${w}) OR ${w} = ${window})`);
      set.push(`${z} = if_not_exists(${z}, ${value('z', branch.ifAbsentFs)}) + ${value('a', branch.addFs)}`, `${w} = ${window}`);
  }
}

/** A quota's or session's clauses: on the axes of stored window start and use (see core/quota.ts). */
function windowClauses({ names, values, set, conditions }: Clauses, limit: string, branch: WindowBranch, index: number): void {
  const [s, q] = [`#s${index}`, `#q${index}`];
  names[s] = WINDOW_START_PREFIX + limit;
  names[q] = USED_PREFIX + limit;
  const value = (name: string, amount: bigint): string => {
    const placeholder = `:${name}${index}`;
    values[placeholder] = { N: amount.toString() };
    return placeholder;
  };
  if (branch.kind === 'start') {
    conditions.push(`(attribute_not_exists(${s}) OR ${s} < ${value('before', branch.beforeFs)})`);
    set.push(`${s} = ${value('s', branch.windowStartFs)}`, `${q} = ${value('q', branch.used)}`);
    return;
  }
  conditions.push(`${s} >= ${value('from', branch.fromFs)}`);
  if (branch.toFs !== undefined) conditions.push(`${s} <= ${value('to', branch.toFs)}`);
  if (branch.kind === 'floor') {
    conditions.push(`${q} < ${value('below', branch.belowUsed)}`);
    set.push(`${q} = ${value('q', branch.used)}`);
    return;
  }
  if (branch.minUsed > 0n) conditions.push(`${q} >= ${value('min', branch.minUsed)}`);
  if (branch.maxUsed !== undefined) conditions.push(`${q} <= ${value('max', branch.maxUsed)}`);
  if (branch.add !== 0n) set.push(`${q} = ${q} + ${value('a', branch.add)}`);
}

/** A concurrency limit's clauses: on the map of its slots (see core/slots.ts). */
function slotClauses(
  { names, values, set, remove, conditions }: Clauses,
  limit: string,
  branch: SlotBranch,
  index: number,
): void {
  const c = `#c${index}`;
  names[c] = SLOTS_PREFIX + limit;
  const slot = (key: string, letter: string, at: number): string => {
    names[`#${letter}${index}_${at}`] = key;
    return `${c}.#${letter}${index}_${at}`;
  };
  if (branch.kind === 'firstSlots') {
    conditions.push(`attribute_not_exists(${c})`);
    values[`:c${index}`] = slotMap(branch.taken);
    set.push(`${c} = :c${index}`);
    return;
  }
  if (branch.kind === 'rewriteSlots') {
    conditions.push(`${c} = :e${index}`);
    values[`:e${index}`] = slotMap(branch.seen);
    values[`:c${index}`] = slotMap(branch.slots);
    set.push(`${c} = :c${index}`);
    return;
  }
  // A path below a map that is not there is an error on AWS, not a failed condition: this condition comes first.
  if (branch.kind === 'freeSlots') conditions.push(`attribute_exists(${c})`);
  remove.push(...branch.removed.map((key, at) => slot(key, 'r', at)));
  if (branch.kind === 'freeSlots') return;
  values[`:m${index}`] = number(branch.most);
  conditions.push(`size(${c}) <= :m${index}`);
  conditions.push(...branch.present.map((key) => `attribute_exists(${slot(key, 'r', branch.removed.indexOf(key))})`));
  let at = 0;
  for (const [key, expiresFs] of branch.taken) {
    values[`:t${index}_${at}`] = number(expiresFs / FS_PER_MS);
    set.push(`${slot(key, 't', at)} = :t${index}_${at}`);
    at += 1;
  }
}

const slotMap = (slots: Slots): AttributeValue => ({
  M: Object.fromEntries([...slots].map(([key, expiresFs]) => [key, number(expiresFs / FS_PER_MS)])),
});

function counter(clauses: Clauses, name: string, attribute: string, placeholder: string, amount: bigint | number): void {
  if (BigInt(amount) === 0n) return;
  clauses.names[name] = attribute;
  clauses.values[placeholder] = number(amount);
  clauses.add.push(`${name} ${placeholder}`);
}

const number = (value: bigint | number): AttributeValue => ({ N: value.toString() });

/** A bucket item's limits. Attributes of limits that are no longer configured come along and are ignored by their names. */
export function bucketState(item: Record<string, AttributeValue>): BucketState {
  const positions = new Map<string, Position>();
  const uses = new Map<string, WindowUse>();
  const slots = new Map<string, Slots>();
  for (const [attribute, value] of Object.entries(item)) {
    if (value.M !== undefined && attribute.startsWith(SLOTS_PREFIX)) {
      const taken = Object.entries(value.M).map(([key, { N: ms = '0' }]) => [key, BigInt(ms) * FS_PER_MS] as const);
      slots.set(attribute.slice(SLOTS_PREFIX.length), new Map(taken));
    }
    if (value.N === undefined) continue;
    if (attribute.startsWith(WINDOW_START_PREFIX)) {
      const name = attribute.slice(WINDOW_START_PREFIX.length);
      uses.set(name, { windowStartFs: BigInt(value.N), used: BigInt(item[USED_PREFIX + name]?.N ?? 0) });
    }
    if (!attribute.startsWith(FULL_AT_PREFIX)) continue;
    const name = attribute.slice(FULL_AT_PREFIX.length);
    const windowFs = item[WINDOW_PREFIX + name]?.N;
    if (windowFs !== undefined) positions.set(name, { fullAtFs: BigInt(value.N), windowFs: BigInt(windowFs) });
  }
  const ttl = item[TTL]?.N;
  const reservedUntil = item[RESERVED_UNTIL]?.N;
  return {
    positions,
    uses,
    slots,
    ...(reservedUntil !== undefined && { reservedUntilFs: BigInt(reservedUntil) }),
    ttlSeconds: ttl === undefined ? undefined : Number(ttl),
  };
}
