import { createHmac } from 'node:crypto';
import { fc } from '@fast-check/vitest';
import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { InvalidArgument } from '../../lib/errors.js';
import { leaseTokens } from '../../lib/http/lease-token.js';
import { memory, START_MS } from '../support/stores.js';
import { stateOf } from './ended-leases.js';

const KEY = 'a signing key of this test';
const OTHER_KEY = 'another signing key, as long';
const tokens = leaseTokens([KEY], 'default');

async function granted(also: readonly { readonly resource: string; readonly consume: Record<string, number> }[] = []) {
  const limiter = (await memory.fresh()).limiter({ namespace: 'default' });
  return limiter.acquire({
    entity: 'Zürich/key 123',
    resource: 'gpt-4',
    limits: [Limit.perMinute('rpm', 100), Limit.perSecond('tps', 3, { burst: 9_007 }), Limit.custom(OBSERVED)],
    consume: { rpm: 1, tps: 500, soft: 4 },
    also,
  });
}

/** Denies a cost above its capacity, were it enforced: its charge is overdrawn. */
const OBSERVED = { name: 'soft', capacity: 1, refillAmount: 1, refillPeriodMs: 7, mode: 'observe' } as const;

const lease = await granted([{ resource: 'search', consume: { rpm: 2 } }]);
const token = tokens.sign(lease, START_MS);

/** What refuses a token; undefined when it is taken. */
function refusal(of: unknown, { by = tokens, atMs = START_MS } = {}): unknown {
  try {
    by.verify(of, atMs);
    return undefined;
  } catch (error) {
    return error;
  }
}

function expectRefused(of: unknown, options: Parameters<typeof refusal>[1] = {}): void {
  const error = refusal(of, options);
  expect(error).toBeInstanceOf(InvalidArgument);
  expect(error).toMatchObject({ field: 'lease' });
}

/** A token signed as ours are, with any payload. */
function signed(payload: string, key = KEY): string {
  const body = Buffer.from(payload).toString('base64url');
  return `${body}.${createHmac('sha256', key).update(body).digest('base64url')}`;
}

describe('a lease token', () => {
  it('gives back what was charged, where and when, to the femtosecond', () => {
    expect(lease.overdrawn).toEqual(['soft']);
    expect(lease.grants.map(({ key }) => key.resource)).toEqual(['gpt-4', 'search']);
    expect(tokens.verify(token, START_MS)).toEqual(stateOf(lease));
  });

  it('carries the weights of its limits, and nothing more for limits without', async () => {
    const limits = [
      Limit.perMinute('tpm', 100, { weights: { cachedInput: 0.1, output: 5 } }),
      Limit.quota('itpm', 100, { per: 'day', weights: { cachedInput: 0 } }),
      Limit.perMinute('otpm', 100),
    ];
    const limiter = (await memory.fresh()).limiter({ namespace: 'default' });
    const weighted = await limiter.acquire({ entity: 'e', resource: 'r', limits, consume: { tpm: 5 } });
    const carried = tokens.sign(weighted, START_MS);
    expect(tokens.verify(carried, START_MS)).toEqual(stateOf(weighted));
    expect(limiter.reopen(tokens.verify(carried, START_MS)).counts).toEqual([
      { name: 'tpm', counts: 'tokens', weights: { input: 1, cachedInput: 0.1, output: 5 } },
      { name: 'itpm', counts: 'inputTokens', weights: { input: 1, cachedInput: 0 } },
      { name: 'otpm', counts: 'outputTokens' },
    ]);
    const payload = JSON.parse(Buffer.from(carried.split('.')[0] ?? '', 'base64url').toString());
    expect(payload.g[0][4].map((charge: readonly unknown[]) => charge.length)).toEqual([8, 7, 7]);
  });

  it('carries the charge as it was settled, when it is signed after a settlement', async () => {
    const settled = await granted();
    await settled.settle({ tps: 7 });
    const [grant] = tokens.verify(tokens.sign(settled, START_MS), START_MS).grants;
    expect(grant?.charges.map((charge) => [charge.name, charge.tokens])).toEqual([
      ['rpm', 1],
      ['tps', 7],
      ['soft', 4],
    ]);
  });

  it('is taken back whatever the most that one request may draw on: 16 buckets of 32 limits', async () => {
    const name = (index: number) => `a-limit-with-a-name-as-long-as-names-may-be-${String(index).padStart(20, '0')}`;
    const limits = Array.from({ length: 32 }, (_, index) => Limit.perDay(name(index), 9_000_000_000_000_000));
    const consume = Object.fromEntries(limits.map((limit) => [limit.name, 8_999_999_999_999_998]));
    const resource = (index: number) => `${'r'.repeat(250)}-${index}`;
    const largest = await (await memory.fresh()).limiter({ namespace: 'default' }).acquire({
      entity: 'e'.repeat(256),
      resource: resource(0),
      limits,
      consume,
      also: Array.from({ length: 15 }, (_, index) => ({ resource: resource(index + 1), consume })),
    });
    expect(tokens.verify(tokens.sign(largest, START_MS), START_MS)).toEqual(stateOf(largest));
  });
});

describe('an altered token', () => {
  it('is refused whichever byte was changed, of its payload or its signature', () => {
    for (let position = 0; position < token.length; position += 1) {
      const was = token.charCodeAt(position);
      for (const now of [was ^ 1, was ^ 2, 'A', 'B', '.', '=', ' ', 'ü'].map((to) =>
        typeof to === 'number' ? String.fromCharCode(to) : to,
      )) {
        if (now !== token[position]) expectRefused(token.slice(0, position) + now + token.slice(position + 1));
      }
    }
  });

  it('is refused whichever byte was left out or doubled', () => {
    for (let position = 0; position < token.length; position += 1) {
      expectRefused(token.slice(0, position) + token.slice(position + 1));
      expectRefused(token.slice(0, position + 1) + token.slice(position));
    }
  });

  it.each([
    { when: 'its payload belongs to another signature', of: `${token.split('.')[0]}.${signed('{}').split('.')[1]}` },
    { when: 'its signature is empty', of: `${token.split('.')[0]}.` },
    { when: 'there is none', of: token.split('.')[0] },
    { when: 'it is followed by another part', of: `${token}.` },
    { when: 'it is padded', of: `${token}=` },
    { when: 'it is empty', of: '' },
    { when: 'it is a dot', of: '.' },
    { when: 'it is missing', of: undefined },
    { when: 'it is null', of: null },
    { when: 'it is an object', of: { token } },
    { when: 'it is a list of the token', of: [token] },
    { when: 'it is a string object', of: new String(token) },
  ])('is refused when $when', ({ of }) => {
    expectRefused(of);
  });

  it('is refused as InvalidArgument and nothing else, whatever it is', () => {
    const [payload = '', mac = ''] = token.split('.');
    const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.base64String(), fc.json());
    const part = fc.oneof(text, fc.constant(payload), fc.constant(mac), fc.uint8Array().map(base64url));
    const forged = fc.tuple(text, fc.string({ minLength: 16 })).map(([body, key]) => signed(body, `${key}!`));
    fc.assert(
      fc.property(
        fc.oneof(text, fc.array(part, { maxLength: 4 }).map(joined), forged, fc.anything()),
        (given) => given === token || expectRefused(given),
      ),
      { numRuns: 2_000 },
    );
  });

  it('is refused at once when it is huge, and not repeated in the message', () => {
    const error = refusal(`${'A'.repeat(50_000_000)}.${'A'.repeat(50_000_000)}`) as InvalidArgument;
    expect(error).toBeInstanceOf(InvalidArgument);
    expect(error.message.length).toBeLessThan(200);
  });
});

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');
const joined = (parts: readonly string[]): string => parts.join('.');

describe('the age of a token', () => {
  it.each([
    { when: 'it was just granted', ageMs: 0, taken: true },
    { when: 'it lacks a millisecond of ten minutes, and five seconds for clocks that differ', ageMs: 604_999, taken: true },
    { when: 'it is ten minutes and five seconds old', ageMs: 605_000, taken: false },
    { when: 'it is a year old', ageMs: 31_536_000_000, taken: false },
  ])('decides when $when', ({ ageMs, taken }) => {
    expect(refusal(token, { atMs: START_MS + ageMs }) === undefined).toBe(taken);
  });

  it('is said in the message, with the instant at which it expired', () => {
    expect(refusal(token, { atMs: START_MS + 605_000 })).toMatchObject({
      field: 'lease',
      message: expect.stringContaining('a lease token that has not expired (this one did at 2027-01-15T08:10:00.000Z)'),
    });
  });

  it('is what the signer was told', () => {
    const brief = leaseTokens([KEY], 'default', 1);
    expectRefused(brief.sign(lease, START_MS), { atMs: START_MS + 6_000 });
    expect(refusal(brief.sign(lease, START_MS), { atMs: START_MS + 5_999 })).toBeUndefined();
  });
});

describe('the key and the namespace of a token', () => {
  it('are those of its reader, or it is refused', () => {
    expectRefused(token, { by: leaseTokens([OTHER_KEY], 'default') });
    expectRefused(token, { by: leaseTokens([KEY], 'defaul') });
    expectRefused(token, { by: leaseTokens([KEY], 'another') });
  });

  it('may be the key before, as long as that one is valid too', () => {
    const rotating = leaseTokens([OTHER_KEY, KEY], 'default');
    const retired = leaseTokens([OTHER_KEY], 'default');
    expect(rotating.verify(token, START_MS)).toEqual(stateOf(lease));
    expectRefused(token, { by: retired });
    expect(retired.verify(rotating.sign(lease, START_MS), START_MS)).toEqual(stateOf(lease));
    expectRefused(rotating.sign(lease, START_MS), { by: tokens });
  });

  it.each([
    { when: 'there is none', keys: [] },
    { when: 'it has 15 characters', keys: ['123456789012345'] },
    { when: 'the second is empty', keys: [KEY, ''] },
  ])('are refused when $when, and no key is shown', ({ keys }) => {
    const made = () => leaseTokens(keys, 'default');
    expect(made).toThrow(expect.objectContaining({ code: 'InvalidArgument', field: 'HEADGATE_LEASE_KEY' }));
    expect(made).not.toThrow('123456789012345');
  });
});
