import { beforeEach, describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { HeadgateError } from '../../lib/errors.js';
import type { RateLimiter } from '../../lib/limiter.js';
import { eachStore, type StoreUnderTest, type TestBed } from '../support/stores.js';
import { UnreliableStore } from './unreliable-store.js';

const limits = [Limit.perMinute('rpm', 100), Limit.perMinute('tpm', 10_000)];
const fine = { entity: 'key-123', resource: 'gpt-4', consume: { rpm: 1 }, limits };

/** What an illegal request, as a caller without types may write it, is answered with. */
interface Refusal {
  readonly when: string;
  readonly request: unknown;
  readonly code: string;
  /** The whole message. */
  readonly says: string;
}

const NAME = '1 to 256 bytes of printable UTF-8 without #';
const WHOLE = 'an integer from 0 to 9007199254740991';
const invalid = (when: string, request: unknown, says: string): Refusal => ({ when, request, code: 'InvalidArgument', says });
const withCost = (tpm: unknown) => ({ ...fine, consume: { tpm } });

const refusals: readonly Refusal[] = [
  invalid('there is no request', undefined, 'Expected request to be an object, got undefined'),
  invalid('the request is a list', [fine], `Expected request to be an object, got ${JSON.stringify([fine]).slice(0, 80)}…`),
  invalid(
    'a field is unknown',
    { ...fine, maxWait: 5 },
    'Expected request.maxWait to be left out: request has the fields entity, resource, limits, consume, ',
  ),
  invalid('the entity is empty', { ...fine, entity: '' }, `Expected entity to be ${NAME}, got ""`),
  invalid('the entity is missing', { ...fine, entity: undefined }, `Expected entity to be ${NAME}, got undefined`),
  invalid('the entity is a number', { ...fine, entity: 7 }, `Expected entity to be ${NAME}, got 7`),
  invalid('the entity has a #', { ...fine, entity: 'a#b' }, `Expected entity to be ${NAME}, got "a#b"`),
  invalid('the entity has a line break', { ...fine, entity: 'a\nb' }, `Expected entity to be ${NAME}, got "a\\nb"`),
  invalid('the entity is half a character', { ...fine, entity: '\ud83d' }, `Expected entity to be ${NAME}, got "\\ud83d"`),
  invalid(
    'the entity is 257 bytes long',
    { ...fine, entity: 'x'.repeat(257) },
    `Expected entity to be ${NAME}, got "${'x'.repeat(80)}…"`,
  ),
  invalid(
    'the entity is 258 bytes of 86 characters',
    { ...fine, entity: '～'.repeat(86) },
    `Expected entity to be ${NAME}, got "${'～'.repeat(80)}…"`,
  ),
  invalid('the resource is empty', { ...fine, resource: '' }, `Expected resource to be ${NAME}, got ""`),
  invalid(
    'nothing says what to consume',
    { ...fine, consume: undefined },
    'Expected consume to be an object of whole tokens by limit name, got undefined',
  ),
  invalid(
    'what to consume is a number',
    { ...fine, consume: 5 },
    'Expected consume to be an object of whole tokens by limit name, got 5',
  ),
  invalid(
    'what to consume is a list',
    { ...fine, consume: [1] },
    'Expected consume to be an object of whole tokens by limit name, got [1]',
  ),
  invalid('a cost is negative', withCost(-1), `Expected consume.tpm to be ${WHOLE}, got -1`),
  invalid('a cost is a fraction', withCost(0.5), `Expected consume.tpm to be ${WHOLE}, got 0.5`),
  invalid('a cost is beyond the safe integers', withCost(2 ** 53), `Expected consume.tpm to be ${WHOLE}, got 9007199254740992`),
  invalid('a cost is NaN', withCost(Number.NaN), `Expected consume.tpm to be ${WHOLE}, got NaN`),
  invalid('a cost is infinite', withCost(Number.POSITIVE_INFINITY), `Expected consume.tpm to be ${WHOLE}, got Infinity`),
  invalid('a cost is a string', withCost('5'), `Expected consume.tpm to be ${WHOLE}, got "5"`),
  invalid('a cost is a bigint', withCost(5n), `Expected consume.tpm to be ${WHOLE}, got 5n`),
  invalid('a cost is undefined', withCost(undefined), `Expected consume.tpm to be ${WHOLE}, got undefined`),
  {
    when: 'a cost is above the capacity',
    request: withCost(10_001),
    code: 'CostExceedsCapacity',
    says: 'Expected the cost of tpm to be at most the capacity 10000 (entity "key-123", resource "gpt-4"), got 10001',
  },
  {
    when: 'a limit is not configured',
    request: { ...fine, consume: { tpn: 5 } },
    code: 'UnknownLimit',
    says: 'Expected consume to name configured limits (rpm, tpm), got "tpn"',
  },
  {
    when: 'a limit is named like a member of objects',
    request: { ...fine, consume: { ['__proto__']: 5 } },
    code: 'UnknownLimit',
    says: 'Expected consume to name configured limits (rpm, tpm), got "__proto__"',
  },
  invalid(
    'other resources are no list',
    { ...fine, also: { resource: 'gpt-5', consume: {} } },
    'Expected also to be a list of { resource, consume }, got {"resource":"gpt-5","consume":{}}',
  ),
  invalid(
    'a resource is named twice',
    { ...fine, also: [{ resource: 'gpt-4', consume: {} }] },
    'Expected also[0].resource to be a resource that the request does not name already, got "gpt-4"',
  ),
  invalid(
    'a cost of another resource is negative',
    { ...fine, also: [{ resource: 'gpt-5', consume: { rpm: -1 } }] },
    `Expected also[0].consume.rpm to be ${WHOLE}, got -1`,
  ),
  invalid(
    'maxWaitMs is negative',
    { ...fine, maxWaitMs: -1 },
    'Expected maxWaitMs to be a number from 0 to 86400000 (a day), got -1',
  ),
  invalid(
    'maxWaitMs is more than a day',
    { ...fine, maxWaitMs: 86_400_001 },
    'Expected maxWaitMs to be a number from 0 to 86400000 (a day), got 86400001',
  ),
  invalid(
    'maxWaitMs is NaN',
    { ...fine, maxWaitMs: Number.NaN },
    'Expected maxWaitMs to be a number from 0 to 86400000 (a day), got NaN',
  ),
  invalid(
    'maxWaitMs is a string',
    { ...fine, maxWaitMs: '5' },
    'Expected maxWaitMs to be a number from 0 to 86400000 (a day), got "5"',
  ),
  invalid(
    'the priority is unknown',
    { ...fine, priority: 'urgent' },
    'Expected priority to be one of low, normal, high, critical, got "urgent"',
  ),
  invalid('the signal is none', { ...fine, signal: {} }, 'Expected signal to be an AbortSignal, got {}'),
  invalid('the limits are none', { ...fine, limits: [] }, 'Expected limits to be a list of 1 to 32 limits, got []'),
  invalid('the limits are one', { ...fine, limits: 'rpm' }, 'Expected limits to be a list of 1 to 32 limits, got "rpm"'),
  invalid(
    'the limits are 33',
    { ...fine, limits: Array.from({ length: 33 }, (_, index) => Limit.perDay(`l${index}`, 1)) },
    'Expected limits to be a list of 1 to 32 limits, got ',
  ),
  invalid(
    'a limit is not one',
    { ...fine, limits: [...limits, 5] },
    'Expected limits[2] to be a limit made by Limit.perMinute and its kind, got 5',
  ),
  invalid(
    'two limits share a name',
    { ...fine, limits: [...limits, Limit.perDay('rpm', 1)] },
    'Expected limits[2].name to be a name that no other limit of the list has, got "rpm"',
  ),
  invalid(
    'a limit was written by hand with a typo',
    { ...fine, limits: [{ name: 'rpm', capacity: 5, refillAmount: 5, refillPeriod: 1 }] },
    'Expected limits[0].refillPeriod to be left out: the known fields are kind, name, capacity, refillAmount, refillPeriodMs, counts, mode, weights, schedule, got 1',
  ),
  invalid(
    'the name of a limit has a #',
    { ...fine, limits: [{ name: 'r#m', capacity: 5, refillAmount: 5, refillPeriodMs: 1 }] },
    'Expected limits[0].name to be 1 to 64 characters of A-Z a-z 0-9 _ - ., got "r#m"',
  ),
  invalid(
    'a limit was written by hand with a capacity of 0',
    { ...fine, limits: [{ name: 'rpm', capacity: 0, refillAmount: 5, refillPeriodMs: 1 }] },
    'Expected limits[0].capacity to be an integer from 1 to 9007199254740991, got 0',
  ),
];

describe.each(eachStore)('a request on the $name store', ({ fresh }: StoreUnderTest) => {
  let bed: TestBed;
  let store: UnreliableStore;
  let limiter: RateLimiter;

  beforeEach(async () => {
    bed = await fresh();
    store = new UnreliableStore(bed.store);
    limiter = bed.limiter({ store });
  });

  it.each(refusals)('is refused before any call when $when', async ({ request, code, says }) => {
    const refused = limiter.acquire(request as typeof fine);

    await expect(refused).rejects.toBeInstanceOf(HeadgateError);
    await expect(refused).rejects.toMatchObject({ name: code, code, message: expect.stringContaining(says) });
    expect(store.calls).toEqual([]);
    expect(await bed.store.read(bed.bucket())).toBeUndefined();
  });

  it('is refused when nothing limits it, and nothing is written', async () => {
    const { limits: _limits, ...unlimited } = fine;

    await expect(limiter.acquire(unlimited)).rejects.toMatchObject({
      code: 'NoLimitsConfigured',
      entity: 'key-123',
      resource: 'gpt-4',
      message: expect.stringContaining('Expected limits for entity "key-123" on resource "gpt-4"'),
    });
    expect(store.writes).toEqual([]);
  });

  it('is refused by what is stored without a write: a cost above a capacity, and a limit that is not configured', async () => {
    await bed.admin().setLimits({ system: true }, limits);
    const { limits: _limits, ...stored } = fine;

    await expect(limiter.acquire({ ...stored, consume: { tpm: 10_001 } })).rejects.toMatchObject({ code: 'CostExceedsCapacity' });
    await expect(limiter.acquire({ ...stored, consume: { tpn: 1 } })).rejects.toMatchObject({
      code: 'UnknownLimit',
      known: ['rpm', 'tpm'],
    });
    expect(store.writes).toEqual([]);
  });

  it('is refused by every verb, and run does not start the work', async () => {
    const bad = { ...fine, entity: '' };
    let started = false;
    const subject = { entity: '', resource: 'gpt-4', limits };

    for (const answer of [
      limiter.tryAcquire(bad),
      limiter.run(bad, () => {
        started = true;
      }),
      limiter.available(subject),
      limiter.status(subject),
      limiter.limits(subject),
      limiter.timeUntilAvailable({ ...subject, needed: { rpm: 1 } }),
    ]) {
      await expect(answer).rejects.toMatchObject({ code: 'InvalidArgument', field: 'entity', value: '' });
    }
    expect(started).toBe(false);
    expect(store.calls).toEqual([]);
  });

  it.each([
    { when: 'needed is missing', request: {}, code: 'InvalidArgument', says: 'Expected needed to be an object of whole tokens' },
    {
      when: 'needed is negative',
      request: { needed: { rpm: -1 } },
      code: 'InvalidArgument',
      says: 'Expected needed.rpm to be an integer from 0 to',
    },
    {
      when: 'a field is unknown',
      request: { needed: {}, consume: {} },
      code: 'InvalidArgument',
      says: 'Expected request.consume to be left out',
    },
    { when: 'it never fits', request: { needed: { rpm: 101 } }, code: 'CostExceedsCapacity', says: 'at most the capacity 100' },
    { when: 'a limit is not configured', request: { needed: { tpn: 1 } }, code: 'UnknownLimit', says: 'got "tpn"' },
  ])('for the time until it fits is refused when $when', async ({ request, code, says }) => {
    const { consume: _consume, ...subject } = fine;

    await expect(limiter.timeUntilAvailable({ ...subject, ...request } as never)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(says),
    });
    expect(store.calls).toEqual([]);
  });

  it.each([
    { what: 'an entity of 256 bytes', request: { entity: 'x'.repeat(256) } },
    { what: 'an entity of 255 bytes in 85 characters', request: { entity: '～'.repeat(85) } },
    { what: 'an entity with spaces, slashes, quotes and emoji', request: { entity: ' a/b "c" \\ 👋🏽 ' } },
    { what: 'a resource named like an object’s member', request: { resource: '__proto__' } },
    { what: 'a cost of the whole capacity', request: { consume: { rpm: 100, tpm: 10_000 } } },
    { what: 'a wait of a day', request: { maxWaitMs: 86_400_000 } },
    { what: 'a wait of a fraction', request: { maxWaitMs: 0.5 } },
    { what: 'a critical priority', request: { priority: 'critical' as const } },
    { what: 'fields that are undefined', request: { maxWaitMs: undefined, priority: undefined, signal: undefined } },
  ])('is decided with $what', async ({ request }) => {
    expect((await limiter.tryAcquire({ ...fine, ...request })).granted).toBe(true);
  });
});
