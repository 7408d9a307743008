import { createHash, randomBytes } from 'node:crypto';
import { InvalidArgument } from '../errors.js';
import { CREDENTIAL_SK, credentialPk, entityPk, KEY_LINK_PREFIX, keyLinkSk } from '../store/schema.js';
import type { Item, ItemKey, Store } from '../store/store.js';
import { attempted } from './attempted.js';
import { type Author, audited } from './audit.js';

/** An API key as it is listed: never its secret. */
export interface ApiKey {
  readonly keyId: string;
  readonly entity: string;
  readonly state: 'active' | 'revoked';
  /** The first characters of the secret, to recognise it by. */
  readonly prefix: string;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly expiresAt?: string;
}

/** A new key. The secret is shown this once: only its hash is stored. */
export interface CreatedKey extends ApiKey {
  readonly secret: string;
}

export interface NewKey {
  readonly entity: string;
  readonly expiresAt?: Date | string | undefined;
  /** A secret that is in use already, 12 to 256 characters of printable ASCII. @default a random one, `hg_` and 32 bytes */
  readonly secret?: string | undefined;
}

const SECRET_BYTES = 32;
const PREFIX_LENGTH = 7;

/** Where the record of a secret is: under its SHA-256. A secret of 32 random bytes needs no slow hash. */
export function credentialKey(namespace: string, secret: string): ItemKey {
  return { pk: credentialPk(namespace, createHash('sha256').update(secret).digest('hex')), sk: CREDENTIAL_SK };
}

/** Stores a new key and its link from the entity, together. Throws `InvalidArgument` when the secret is in use. */
export async function createKey(store: Store, namespace: string, author: Author, key: NewKey): Promise<CreatedKey> {
  const secret = key.secret ?? `hg_${randomBytes(SECRET_BYTES).toString('base64url')}`;
  if (typeof secret !== 'string' || !/^[\x21-\x7e]{12,256}$/.test(secret)) {
    throw new InvalidArgument({
      field: 'secret',
      value: 'a secret not shown here',
      expected: '12 to 256 characters of printable ASCII without spaces',
    });
  }
  const expiresAt = expiry(key.expiresAt, author.nowMs);
  const created: ApiKey = {
    // Hexadecimal: a command line takes no id for an option.
    keyId: randomBytes(9).toString('hex'),
    entity: key.entity,
    state: 'active',
    prefix: secret.slice(0, PREFIX_LENGTH),
    createdAt: new Date(author.nowMs).toISOString(),
    ...(expiresAt !== undefined && { expiresAt }),
  };
  const credential = credentialKey(namespace, secret);
  const { keyId, entity } = created;
  const { change, record } = audited(namespace, author, { action: 'key.create', target: { entity, keyId }, to: created });
  const link: Item = { pk: entityPk(namespace, entity), sk: keyLinkSk(keyId), credential: credential.pk, change, ...created };
  const result = await store.transact([
    { kind: 'put', item: { ...credential, ...created }, ifAbsent: true },
    { kind: 'put', item: link, ifAbsent: true },
    record,
  ]);
  if (!result.applied)
    throw new InvalidArgument({ field: 'secret', value: 'a secret not shown here', expected: 'one that no other key has' });
  return { ...created, secret };
}

export async function listKeys(store: Store, namespace: string, entity: string): Promise<readonly ApiKey[]> {
  return (await store.queryItems(entityPk(namespace, entity), KEY_LINK_PREFIX)).map(apiKeyOf);
}

/** Makes a key worthless from now on (within the authorizers' cache time). False: the entity has no such key. Throws `ChangeConflict`. */
export async function revokeKey(
  store: Store,
  namespace: string,
  author: Author,
  target: { readonly entity: string; readonly keyId: string },
): Promise<boolean> {
  const { entity, keyId } = target;
  return attempted(`key ${keyId}`, async () => {
    const [link] = await store.getItems([{ pk: entityPk(namespace, entity), sk: keyLinkSk(keyId) }], { consistent: true });
    if (link === undefined) return false;
    const from = apiKeyOf(link);
    if (from.state === 'revoked') return true;
    const to: ApiKey = { ...from, state: 'revoked' };
    const { change, record } = audited(namespace, author, { action: 'key.revoke', target: { entity, keyId }, from, to });
    const { applied } = await store.transact([
      { kind: 'put', item: { ...credentialOf(link), ...to } },
      { kind: 'put', item: { ...link, ...to, change }, ifEqual: { change: link.change as string | undefined } },
      record,
    ]);
    return applied || undefined;
  });
}

/** Where the record is that an entity's link to its key names. */
export const credentialOf = ({ credential }: Item): ItemKey => ({ pk: String(credential), sk: CREDENTIAL_SK });

/** Whether a stored key opens anything now. */
export function isLive(key: ApiKey, nowMs: number): boolean {
  return key.state === 'active' && (key.expiresAt === undefined || Date.parse(key.expiresAt) > nowMs);
}

export function apiKeyOf({ keyId, entity, state, prefix, createdAt, expiresAt }: Item): ApiKey {
  const key = { keyId, entity, state, prefix, createdAt };
  return (expiresAt === undefined ? key : { ...key, expiresAt }) as ApiKey;
}

function expiry(value: Date | string | undefined, nowMs: number): string | undefined {
  if (value === undefined) return undefined;
  const at = new Date(value);
  if (Number.isNaN(at.getTime()) || at.getTime() <= nowMs) {
    throw new InvalidArgument({ field: 'expiresAt', value, expected: 'a Date or an ISO 8601 time, in the future' });
  }
  return at.toISOString();
}
