import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Grant } from '../admission/admission.js';
import type { Counts } from '../core/counts.js';
import type { Charge } from '../core/settlement.js';
import type { TokenWeights } from '../core/weights.js';
import { InvalidArgument } from '../errors.js';
import type { Lease } from '../lease.js';
import type { LeaseState } from '../limiter.js';

/**
 * A lease as a signed token: `payload.signature`, both base64url; HMAC-SHA256 over the payload. It says what was charged, where and when, so
 * that any process with the key can settle it; it is readable, not secret, and worthless when altered, expired or from another namespace.
 */
export interface LeaseTokens {
  /** The token of a lease granted now. */
  sign(lease: Pick<Lease, 'id' | 'entity' | 'resource' | 'grants'>, nowMs: number): string;
  /** The lease of a token. Throws `InvalidArgument` naming `lease` for any token that is not one of ours, or is too old. */
  verify(token: unknown, nowMs: number): LeaseState;
}

export const LEASE_LIFETIME_SECONDS = 600;
/** By how much the clocks of two processes may differ before a token counts as expired. */
const CLOCK_TOLERANCE_SECONDS = 5;
/** Above any token that is signed: 16 buckets of 32 limits with the longest names make 131,000 characters, and with weights 175,000. */
const LONGEST_TOKEN = 262_144;

/**
 * One bucket in a token: resource, entity, shard, acquired at, and its charges: name, what it counts, tokens, 1 overdrawn or 2 bypassed, then its
 * kind: of a token bucket with its token time and window, of a quota or session with the start of its window (fs as decimals), of a slot with its
 * key. Last come the weights of a limit that has some.
 */
type PackedGrant = readonly [
  string,
  string,
  number,
  string,
  readonly (readonly [string, Counts, number, 0 | 1 | 2, ...PackedKind])[],
];
type PackedKind = readonly ['b', string, string, TokenWeights?] | readonly ['w', string, TokenWeights?] | readonly ['s', string];

/** Of the payload's layout: a token of another one is refused, never misread. */
const VERSION = 2;

interface Payload {
  readonly v: typeof VERSION;
  readonly id: string;
  readonly ns: string;
  readonly e: string;
  readonly r: string;
  /** Expiry, epoch seconds. */
  readonly x: number;
  readonly g: readonly PackedGrant[];
}

/** Signs with the first key, verifies with any: so a key can be replaced while tokens of the old one are out. */
export function leaseTokens(keys: readonly string[], namespace: string, lifetimeSeconds = LEASE_LIFETIME_SECONDS): LeaseTokens {
  const [current] = keys;
  if (current === undefined || keys.some((key) => key.length < 16)) {
    throw new InvalidArgument({
      field: 'HEADGATE_LEASE_KEY',
      value: 'a key not shown here',
      expected: 'keys of at least 16 characters',
    });
  }
  return {
    sign(lease, nowMs) {
      const payload: Payload = {
        v: VERSION,
        id: lease.id,
        ns: namespace,
        e: lease.entity,
        r: lease.resource,
        x: Math.floor(nowMs / 1_000) + lifetimeSeconds,
        g: lease.grants.map(packed),
      };
      const body = Buffer.from(JSON.stringify(payload)).toString('base64url');
      return `${body}.${signature(current, body).toString('base64url')}`;
    },
    verify(token, nowMs) {
      const payload = typeof token === 'string' ? authentic(token, keys) : undefined;
      if (payload?.v !== VERSION || payload.ns !== namespace)
        throw refused(token, 'a lease token that this API issued, unaltered');
      if ((payload.x + CLOCK_TOLERANCE_SECONDS) * 1_000 <= nowMs) {
        throw refused(token, `a lease token that has not expired (this one did at ${new Date(payload.x * 1_000).toISOString()})`);
      }
      return {
        id: payload.id,
        entity: payload.e,
        resource: payload.r,
        grants: payload.g.map((grant) => unpacked(namespace, grant)),
      };
    },
  };
}

function authentic(token: string, keys: readonly string[]): Payload | undefined {
  const [body, mac, ...rest] = token.length > LONGEST_TOKEN ? [] : token.split('.');
  if (body === undefined || mac === undefined || rest.length > 0) return undefined;
  const given = Buffer.from(mac, 'base64url');
  // The canonical form only: base64url decoding forgives altered trailing bits.
  if (given.toString('base64url') !== mac) return undefined;
  const matches = keys.some((key) => {
    const wanted = signature(key, body);
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  });
  return matches ? (JSON.parse(Buffer.from(body, 'base64url').toString()) as Payload) : undefined;
}

const signature = (key: string, body: string): Buffer => createHmac('sha256', key).update(body).digest();

const packed = ({ key, acquiredAtFs, charges }: Grant): PackedGrant => [
  key.resource,
  key.entity,
  key.shard,
  acquiredAtFs.toString(),
  charges.map((charge) => {
    const { name, counts, tokens, overdrawn, bypassed } = charge;
    return [name, counts, tokens, bypassed ? 2 : overdrawn ? 1 : 0, ...packedKind(charge)];
  }),
];

function packedKind(charge: Charge): PackedKind {
  const weights: [TokenWeights?] = charge.weights === undefined ? [] : [charge.weights];
  if (charge.kind === 'bucket') return ['b', charge.tokenFs.toString(), charge.windowFs.toString(), ...weights];
  return charge.kind === 'window' ? ['w', charge.windowStartFs.toString(), ...weights] : ['s', charge.slot];
}

const unpacked = (namespace: string, [resource, entity, shard, acquiredAtFs, charges]: PackedGrant): Grant => ({
  key: { namespace, resource, entity, shard },
  acquiredAtFs: BigInt(acquiredAtFs),
  charges: charges.map(([name, counts, tokens, overdrawn, ...own]): Charge => {
    const charge = {
      name,
      counts,
      tokens,
      ...(overdrawn > 0 && { overdrawn: true }),
      ...(overdrawn === 2 && { bypassed: true }),
    };
    if (own[0] === 's') return { ...charge, kind: 'slot', slot: own[1] };
    const weights = own[0] === 'b' ? own[3] : own[2];
    const weighted = { ...charge, ...(weights && { weights }) };
    return own[0] === 'b'
      ? { ...weighted, kind: 'bucket', tokenFs: BigInt(own[1]), windowFs: BigInt(own[2]) }
      : { ...weighted, kind: 'window', windowStartFs: BigInt(own[1]) };
  }),
});

const refused = (token: unknown, expected: string): InvalidArgument =>
  new InvalidArgument({ field: 'lease', value: typeof token === 'string' ? `${token.slice(0, 12)}…` : token, expected });
