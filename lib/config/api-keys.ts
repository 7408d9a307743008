import { createHash, randomBytes } from 'node:crypto';
import { InvalidArgument } from '../errors.js';
import { CREDENTIAL_SK, credentialPk, entityPk, KEY_LINK_PREFIX, keyLinkSk } from '../store/schema.js';
import type { Item, ItemKey, Operation, Store } from '../store/store.js';
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
  /** ISO 8601; from then on it opens nothing. */
  readonly expiresAt?: string;
  /** The id of the key that it was made to replace. */
  readonly replaces?: string;
  /** The id of the key that was made to replace it. */
  readonly replacedBy?: string;
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
  const { created, operations } = keyCreation(namespace, author, key);
  const result = await store.transact(operations);
  if (!result.applied)
    throw new InvalidArgument({ field: 'secret', value: 'a secret not shown here', expected: 'one that no other key has' });
  return created;
}

/** A new key, and what stores it with its link and the record of it. The operations fail where its secret is in use. */
export function keyCreation(
  namespace: string,
  author: Author,
  { entity, ...key }: NewKey & Pick<ApiKey, 'replaces'>,
): { readonly created: CreatedKey; readonly operations: readonly Operation[] } {
  const secret = key.secret ?? `hg_${randomBytes(SECRET_BYTES).toString('base64url')}`;
  if (typeof secret !== 'string' || !/^[\x21-\x7e]{12,256}$/.test(secret)) {
    throw new InvalidArgument({
      field: 'secret',
      value: 'a secret not shown here',
      expected: '12 to 256 characters of printable ASCII without spaces',
    });
  }
  // Hexadecimal: a command line takes no id for an option.
  const keyId = randomBytes(9).toString('hex');
  const stored: ApiKey = {
    keyId,
    entity,
    state: 'active',
    prefix: secret.slice(0, PREFIX_LENGTH),
    createdAt: new Date(author.nowMs).toISOString(),
    ...(key.expiresAt !== undefined && { expiresAt: expiryOf(key.expiresAt, author.nowMs) }),
    ...(key.replaces !== undefined && { replaces: key.replaces }),
  };
  const credential = credentialKey(namespace, secret);
  const { change, record } = audited(namespace, author, { action: 'key.create', target: { entity, keyId }, to: stored });
  const link: Item = { pk: entityPk(namespace, entity), sk: keyLinkSk(keyId), credential: credential.pk, change, ...stored };
  const operations: Operation[] = [
    { kind: 'put', item: { ...credential, ...stored }, ifAbsent: true },
    { kind: 'put', item: link, ifAbsent: true },
    record,
  ];
  return { created: { ...stored, secret }, operations };
}

export async function listKeys(store: Store, namespace: string, entity: string): Promise<readonly ApiKey[]> {
  return (await store.queryItems(entityPk(namespace, entity), KEY_LINK_PREFIX)).map(apiKeyOf);
}

/** Where the record is that an entity's link to its key names. */
export const credentialOf = ({ credential }: Item): ItemKey => ({ pk: String(credential), sk: CREDENTIAL_SK });

/** Whether a stored key opens anything now. */
export function isLive(key: ApiKey, nowMs: number): boolean {
  return key.state === 'active' && (key.expiresAt === undefined || Date.parse(key.expiresAt) > nowMs);
}

export function apiKeyOf({ keyId, entity, state, prefix, createdAt, ...more }: Item): ApiKey {
  const { expiresAt, replaces, replacedBy } = more as unknown as ApiKey;
  return {
    ...({ keyId, entity, state, prefix, createdAt } as ApiKey),
    ...(expiresAt !== undefined && { expiresAt }),
    ...(replaces !== undefined && { replaces }),
    ...(replacedBy !== undefined && { replacedBy }),
  };
}

/** ISO 8601. Throws `InvalidArgument` for what is no time in the future. */
export function expiryOf(value: Date | string, nowMs: number): string {
  const at = new Date(value);
  if (Number.isNaN(at.getTime()) || at.getTime() <= nowMs) {
    throw new InvalidArgument({ field: 'expiresAt', value, expected: 'a Date or an ISO 8601 time, in the future' });
  }
  return at.toISOString();
}
