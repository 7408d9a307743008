/** What expires from the table, as lines of JSON that outlive it. */
import { unmarshall } from '@aws-sdk/util-dynamodb';
import { DENIALS, PK, parseUsageSk, REQUESTS, SK, TTL_PRINCIPAL, USAGE_CONSUMED_PREFIX } from '../store/schema.js';
import type { StreamImage, StreamRecord } from './bucket-changes.js';

/** A record of the stream that says who made the change, as Lambda delivers it. */
export interface RemovalRecord extends StreamRecord {
  readonly userIdentity?: { readonly principalId?: string; readonly type?: string } | undefined;
}

/** Lines of one kind and date (UTC), by ascending position. */
export interface ArchivedLines {
  readonly kind: 'usage' | 'audit' | 'unreadable';
  /** YYYY-MM-DD: when a usage period started, when a change was made; of what cannot be read, when it was removed. */
  readonly date: string;
  readonly lines: readonly string[];
}

/**
 * The expired usage rows and audit records among these, by kind and date. Of a row's three views only the namespace's is taken: its key names entity and
 * resource as well. What an operator or a purge deletes is not archived. A row that cannot be read is kept as it is.
 */
export function archivedLines(records: readonly RemovalRecord[]): ArchivedLines[] {
  const groups = new Map<string, { kind: ArchivedLines['kind']; date: string; lines: string[] }>();
  for (const record of records) {
    const line = archivedLine(record);
    if (line === undefined) continue;
    const id = `${line.kind} ${line.date}`;
    const group = groups.get(id) ?? { kind: line.kind, date: line.date, lines: [] };
    groups.set(id, group);
    group.lines.push(JSON.stringify(line.value));
  }
  return [...groups.values()];
}

interface ArchivedLine {
  readonly kind: ArchivedLines['kind'];
  readonly date: string;
  readonly value: unknown;
}

function archivedLine({ eventName, userIdentity, dynamodb }: RemovalRecord): ArchivedLine | undefined {
  if (eventName !== 'REMOVE' || userIdentity?.principalId !== TTL_PRINCIPAL) return undefined;
  const [pk, sk] = [dynamodb?.Keys?.[PK]?.S ?? '', dynamodb?.Keys?.[SK]?.S ?? ''];
  const [namespace = '', kind] = pk.split('#');
  const image = dynamodb?.OldImage;
  try {
    if (kind === 'ns' && sk.startsWith('usage#')) return usageLine(namespace, sk, image);
    if (kind === 'audit') return auditLine(namespace, sk, image);
    return undefined;
  } catch (error) {
    const date = new Date((dynamodb?.ApproximateCreationDateTime ?? 0) * 1_000).toISOString().slice(0, 10);
    return { kind: 'unreadable', date, value: { reason: String(error), pk, sk, image } };
  }
}

function usageLine(namespace: string, sk: string, image: StreamImage | undefined): ArchivedLine {
  const key = parseUsageSk(sk);
  if (key === undefined || image === undefined) throw new Error('Expected a usage row with its image');
  const shard = Number(sk.split('#')[5]);
  const consumed = Object.entries(image).flatMap(([attribute, value]) =>
    attribute.startsWith(USAGE_CONSUMED_PREFIX) ? [[attribute.slice(USAGE_CONSUMED_PREFIX.length), count(value.N)] as const] : [],
  );
  const { period, start, resource, entity } = key;
  return {
    kind: 'usage',
    date: start.slice(0, 10),
    value: {
      namespace,
      period,
      start,
      resource,
      entity,
      shard,
      consumed: Object.fromEntries(consumed.sort(([a], [b]) => (a < b ? -1 : 1))),
      requests: count(image[REQUESTS]?.N),
      denied: count(image[DENIALS]?.N),
    },
  };
}

/** A number, or its digits where a number would not be exact. */
function count(digits: string | undefined): number | string {
  if (digits === undefined || !/^-?\d+$/.test(digits)) throw new Error(`Expected an integer, got ${digits}`);
  return Number.isSafeInteger(Number(digits)) ? Number(digits) : digits;
}

function auditLine(namespace: string, id: string, image: StreamImage | undefined): ArchivedLine {
  if (image === undefined) throw new Error('Expected an audit record with its image');
  const { actor, action, target, from, to } = unmarshall(image as Parameters<typeof unmarshall>[0]);
  const at = id.slice(0, id.indexOf('#'));
  if (!/^\d{4}-\d\d-\d\dT/.test(at)) throw new Error(`Expected the key to begin with a time, got ${id}`);
  const parsed = (value: unknown): unknown => (typeof value === 'string' ? JSON.parse(value) : value);
  return {
    kind: 'audit',
    date: at.slice(0, 10),
    value: { namespace, id, at, actor, action, target, from: parsed(from), to: parsed(to) },
  };
}
