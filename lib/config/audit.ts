/** The history of what is configured: each change writes a record of itself, in the same transaction. */
import { randomBytes } from 'node:crypto';
import { InvalidArgument } from '../errors.js';
import { instantMs } from '../instant.js';
import { checkFields, checkName } from '../names.js';
import { auditPk, TTL } from '../store/schema.js';
import type { Item, Operation, Store } from '../store/store.js';
import type { Scope } from './config-records.js';

/** Who changes something, and when. */
export interface Author {
  readonly actor: string;
  readonly nowMs: number;
  /** How long the record is kept. */
  readonly retentionDays: number;
}

/** What was changed: limits are a scope's, a key is an entity's, a namespace is the table's. */
export type AuditTarget = Scope | { readonly entity: string; readonly keyId: string } | { readonly namespace: string };

export interface Change {
  /** What kind of thing, and what was done to it: `limits.set`. */
  readonly action: string;
  readonly target: AuditTarget;
  /** JSON; undefined: it was not there. */
  readonly from?: unknown;
  /** Undefined: it is not there any more. */
  readonly to?: unknown;
}

/** One change, as `HeadgateAdmin.audit` gives it. */
export interface AuditRecord extends Change {
  /** Sorts by time. What was changed keeps it as `change`, until its next one. */
  readonly id: string;
  /** ISO 8601. */
  readonly at: string;
  readonly actor: string;
}

export interface AuditQuery {
  /** A Date or ISO 8601. @default 30 days before `to` */
  readonly from?: Date | string | undefined;
  /** The first instant no longer asked for. @default now */
  readonly to?: Date | string | undefined;
  /** Only changes of this entity, its limits and its keys. @default all */
  readonly entity?: string | undefined;
  /** Only changes by them. @default anybody's */
  readonly actor?: string | undefined;
  /** 1 to 10,000. @default 100 */
  readonly limit?: number | undefined;
  /** The id of the last record of the page before. @default the first page */
  readonly after?: string | undefined;
}

export const DEFAULT_RETENTION_DAYS = 400;
const MOST_RETENTION_DAYS = 3_660;
const MS_PER_DAY = 86_400_000;
const DEFAULT_DAYS = 30;
const DEFAULT_LIMIT = 100;
const MOST_RECORDS = 10_000;
const READ_AT_ONCE = 1_000;
const ID_BYTES = 6;
const IDS_A_ROUND = 1_000_000;

/** Of this process: its changes within one millisecond sort as they were made. */
let changes = 0;

/** The id of a change that is about to be made, and the operation that records it. */
export function audited(
  namespace: string,
  { actor, nowMs, retentionDays }: Author,
  { action, target, from, to }: Change,
): { readonly change: string; readonly record: Operation } {
  const at = new Date(nowMs).toISOString();
  changes = (changes + 1) % IDS_A_ROUND;
  const change = `${at}#${String(changes).padStart(6, '0')}${randomBytes(ID_BYTES).toString('hex')}`;
  // As text: any JSON comes back as it went in.
  const [before, after] = [from, to].map((value) => (value === undefined ? undefined : JSON.stringify(value)));
  const ttl = Math.ceil((nowMs + retentionDays * MS_PER_DAY) / 1_000);
  const item: Item = {
    pk: auditPk(namespace, at.slice(0, 7)),
    sk: change,
    actor,
    action,
    target,
    from: before,
    to: after,
    [TTL]: ttl,
  };
  return { change, record: { kind: 'put', item } };
}

/** A page of the history, the latest first. It is the last where it is shorter than its limit. Throws `InvalidArgument`. */
export async function readAudit(
  store: Store,
  namespace: string,
  query: AuditQuery,
  nowMs: number,
): Promise<readonly AuditRecord[]> {
  checkFields(query, ['from', 'to', 'entity', 'actor', 'limit', 'after'], 'query');
  const { entity, actor, limit = DEFAULT_LIMIT, after } = query;
  if (entity !== undefined) checkName(entity, 'entity');
  if (actor !== undefined) checkName(actor, 'actor');
  if (!Number.isInteger(limit) || limit < 1 || limit > MOST_RECORDS)
    throw new InvalidArgument({ field: 'limit', value: limit, expected: `an integer from 1 to ${MOST_RECORDS}` });
  if (after !== undefined && !/^\d{4}-\d\d-\d\dT[^#]{1,40}#\w+$/.test(after))
    throw new InvalidArgument({ field: 'after', value: after, expected: 'the id of a record' });
  const toMs = query.to === undefined ? nowMs + 1 : instantMs('to', query.to);
  const fromMs = query.from === undefined ? toMs - DEFAULT_DAYS * MS_PER_DAY : instantMs('from', query.from);
  if (fromMs >= toMs) throw new InvalidArgument({ field: 'from', value: query.from, expected: 'a time before `to`' });
  // No record is older or younger, whatever was asked for; and each month is a query.
  const first = new Date(Math.max(fromMs, nowMs - MOST_RETENTION_DAYS * MS_PER_DAY)).toISOString();
  const end = new Date(Math.min(toMs, nowMs + MS_PER_DAY)).toISOString();
  const start = after !== undefined && after < end ? after : end;
  const found: AuditRecord[] = [];
  const wanted = (item: Item) =>
    Number(item[TTL]) * 1_000 > nowMs &&
    (actor === undefined || item.actor === actor) &&
    (entity === undefined || (item.target as { entity?: string }).entity === entity);
  for (let month: string | undefined = start.slice(0, 7); month >= first.slice(0, 7); month = monthBefore(month)) {
    for (let from: string | undefined = start; from !== undefined && found.length < limit; ) {
      const items = await store.queryItems(auditPk(namespace, month), '', { after: from, most: READ_AT_ONCE, backwards: true });
      const inTime = items.filter(({ sk }) => sk >= first);
      found.push(...inTime.filter(wanted).map(auditRecordOf));
      from = inTime.length < READ_AT_ONCE ? undefined : inTime.at(-1)?.sk;
    }
    if (found.length >= limit) break;
  }
  return found.slice(0, limit);
}

function auditRecordOf({ sk, action, actor, target, from, to }: Item): AuditRecord {
  const [at = ''] = sk.split('#');
  const parsed = (value: unknown): unknown => JSON.parse(String(value));
  return {
    id: sk,
    at,
    actor: String(actor),
    action: String(action),
    target: target as AuditTarget,
    ...(from !== undefined && { from: parsed(from) }),
    ...(to !== undefined && { to: parsed(to) }),
  };
}

/** The month before one: `2025-12` before `2026-01`. */
function monthBefore(month: string): string {
  return new Date(Date.parse(`${month}-01T00:00:00Z`) - 1).toISOString().slice(0, 7);
}

/** Checks who changes things, and how long that is kept: 1 to 3,660 days. */
export function checkAuthor({ actor, retentionDays }: Pick<Author, 'actor' | 'retentionDays'>): void {
  checkName(actor, 'actor');
  if (!Number.isInteger(retentionDays) || retentionDays < 1 || retentionDays > MOST_RETENTION_DAYS) {
    throw new InvalidArgument({
      field: 'auditRetentionDays',
      value: retentionDays,
      expected: `an integer from 1 to ${MOST_RETENTION_DAYS}`,
    });
  }
}
