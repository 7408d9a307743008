/** Changes of a key that exists. Each is judged by the key as it is stored then, and none is lost to another at the same time. */
import { InvalidArgument, KeyNotActive } from '../errors.js';
import { entityPk, keyLinkSk } from '../store/schema.js';
import type { Item, Operation, Store } from '../store/store.js';
import { type ApiKey, apiKeyOf, type CreatedKey, credentialOf, expiryOf, isLive, keyCreation } from './api-keys.js';
import { attempted } from './attempted.js';
import { type Author, audited } from './audit.js';

/** Names a key. */
export interface KeyName {
  readonly entity: string;
  readonly keyId: string;
}

export interface KeyRotation extends KeyName {
  /** How long the old key still opens what it opened, 0 to 31,622,400,000 (366 days); 0: it is revoked at once. @default 86_400_000, a day */
  readonly overlapMs?: number | undefined;
  /** When the new key expires. @default never */
  readonly expiresAt?: Date | string | undefined;
}

/** A new key in the place of another. The secret is shown this once. */
export interface RotatedKey extends CreatedKey {
  /** The other one as it is now. */
  readonly replaced: ApiKey;
}

const DEFAULT_OVERLAP_MS = 86_400_000;
const MOST_OVERLAP_MS = 366 * 86_400_000;

/** Makes a key worthless; nothing where it is so already. A key that was made to replace it lives on. Throws `InvalidArgument`, `ChangeConflict`. */
export async function revokeKey(store: Store, namespace: string, author: Author, name: KeyName): Promise<void> {
  await changed(store, namespace, name, async (from, link) => {
    if (from.state === 'revoked') return true;
    const operations = changeOf(namespace, author, 'key.revoke', link, { ...from, state: 'revoked' });
    return (await store.transact(operations)).applied || undefined;
  });
}

/**
 * Lets a key expire at a time in the future, never later than it would anyway: of two calls at once, the earlier time holds.
 * Throws `InvalidArgument`, `KeyNotActive`, `ChangeConflict`.
 */
export async function expireKey(
  store: Store,
  namespace: string,
  author: Author,
  { expiresAt: at, ...name }: KeyName & { readonly expiresAt: Date | string },
): Promise<ApiKey> {
  const expiresAt = expiryOf(at, author.nowMs);
  return changed(store, namespace, name, async (from, link) => {
    checkActive(from, author.nowMs);
    if (from.expiresAt === expiresAt) return from;
    if (from.expiresAt !== undefined && from.expiresAt < expiresAt) {
      const expected = `at most ${from.expiresAt}, when the key expires anyway (a rotation makes one that lives longer)`;
      throw new InvalidArgument({ field: 'expiresAt', value: at, expected });
    }
    const to = { ...from, expiresAt };
    const { applied } = await store.transact(changeOf(namespace, author, 'key.expire', link, to));
    return applied ? to : undefined;
  });
}

/**
 * Makes a new key and lets the old one live until the overlap is over, or until it expires if that is sooner, in one transaction. Of two rotations
 * of a key at the same time one makes a key, the other throws `KeyNotActive` and names it; a revocation at the same time leaves the old key revoked.
 * Throws `InvalidArgument`, `ChangeConflict`; after `LimiterUnavailable` it may have happened: the old key then names the new one, which can be rotated.
 */
export async function rotateKey(store: Store, namespace: string, author: Author, rotation: KeyRotation): Promise<RotatedKey> {
  const { entity, keyId, overlapMs = DEFAULT_OVERLAP_MS, expiresAt } = rotation;
  if (!Number.isInteger(overlapMs) || overlapMs < 0 || overlapMs > MOST_OVERLAP_MS) {
    throw new InvalidArgument({ field: 'overlapMs', value: overlapMs, expected: `an integer from 0 to ${MOST_OVERLAP_MS}` });
  }
  return changed(store, namespace, rotation, async (from, link) => {
    checkActive(from, author.nowMs);
    if (from.replacedBy !== undefined) throw new KeyNotActive(entity, keyId, `key ${from.replacedBy} replaces it`);
    const { created, operations } = keyCreation(namespace, author, { entity, expiresAt, replaces: keyId });
    const end = new Date(author.nowMs + overlapMs).toISOString();
    const last: Partial<ApiKey> =
      overlapMs === 0
        ? { state: 'revoked' }
        : { expiresAt: from.expiresAt !== undefined && from.expiresAt < end ? from.expiresAt : end };
    const replaced: ApiKey = { ...from, ...last, replacedBy: created.keyId };
    const { applied } = await store.transact([...changeOf(namespace, author, 'key.rotate', link, replaced), ...operations]);
    return applied ? { ...created, replaced } : undefined;
  });
}

/** What `change` makes of a key and its link, anew as long as others change it in between. */
function changed<T>(
  store: Store,
  namespace: string,
  { entity, keyId }: KeyName,
  change: (from: ApiKey, link: Item) => Promise<T | undefined>,
): Promise<T> {
  return attempted(`key ${keyId}`, async () => {
    const [link] = await store.getItems([{ pk: entityPk(namespace, entity), sk: keyLinkSk(keyId) }], { consistent: true });
    if (link === undefined) throw new InvalidArgument({ field: 'keyId', value: keyId, expected: `the id of a key of ${entity}` });
    return change(apiKeyOf(link), link);
  });
}

/** A key goes with its link, while nobody else changed it since that was read. */
function changeOf(namespace: string, author: Author, action: string, link: Item, to: ApiKey): readonly Operation[] {
  const target = { entity: to.entity, keyId: to.keyId };
  const { change, record } = audited(namespace, author, { action, target, from: apiKeyOf(link), to });
  return [
    { kind: 'put', item: { ...credentialOf(link), ...to } },
    { kind: 'put', item: { ...link, ...to, change }, ifEqual: { change: link.change as string | undefined } },
    record,
  ];
}

function checkActive(key: ApiKey, nowMs: number): void {
  if (isLive(key, nowMs)) return;
  throw new KeyNotActive(key.entity, key.keyId, key.state === 'revoked' ? 'it was revoked' : `it expired at ${key.expiresAt}`);
}
