import { beforeEach, describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { Contended, NoLimitsConfigured } from '../../lib/errors.js';
import type { LimiterEvent } from '../../lib/limiter-event.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { type TestBed, testBed } from '../support/stores.js';
import { UnreliableStore } from './unreliable-store.js';

const on = { entity: 'key-123', resource: 'gpt-4', limits: [Limit.perMinute('rpm', 2), Limit.perMinute('tpm', 1_000)] };
const request = { ...on, consume: { rpm: 1, tpm: 100 } };

let store: UnreliableStore;
let bed: TestBed;
let events: LimiterEvent[];
const onEvent = (event: LimiterEvent) => void events.push(event);

beforeEach(() => {
  store = new UnreliableStore(new MemoryStore());
  bed = testBed(store);
  events = [];
});

describe('a listener is told', () => {
  it('of a grant, with what is left and how many writes it took', async () => {
    await bed.limiter({ onEvent }).acquire(request);

    expect(events).toMatchObject([
      { kind: 'granted', entity: 'key-123', resource: 'gpt-4', lease: { decidedBy: 'store', waitedMs: 0, attempts: 1 } },
    ]);
    const [granted] = events;
    expect(granted?.kind === 'granted' && granted.lease.limits.map(({ limit, available }) => [limit, available])).toEqual([
      ['rpm', 1],
      ['tpm', 900],
    ]);
  });

  it('of the attempt that lost its guess: a process that has not seen a bucket in use takes two writes', async () => {
    await bed.limiter().acquire(request);

    const lease = await bed.limiter({ onEvent }).acquire(request);

    expect(lease.attempts).toBe(2);
    expect(events).toMatchObject([{ kind: 'granted', lease: { attempts: 2 } }]);
  });

  it.each(['acquire', 'tryAcquire', 'reserve'] as const)('once of a denial by %s, with the limits that denied', async (verb) => {
    const limiter = bed.limiter({ onEvent });
    await limiter.acquire(request);
    await limiter.acquire(request);
    events = [];

    await limiter[verb](request).catch(() => {});

    expect(events).toMatchObject([
      { kind: 'denied', entity: 'key-123', resource: 'gpt-4', denial: { retryAfterMs: 30_000, violations: [{ limit: 'rpm' }] } },
    ]);
  });

  it('of a settlement, one event a bucket, with the time since the grant', async () => {
    const lease = await bed.limiter({ onEvent }).acquire(request);
    bed.clock.advance(1_500);

    await lease.settle({ tpm: 150 });

    expect(events.slice(1)).toEqual([{ kind: 'settled', entity: 'key-123', resource: 'gpt-4', lagMs: 1_500, posted: true }]);
  });

  it('of a settlement that could not be written', async () => {
    const lease = await bed.limiter({ onEvent }).acquire(request);
    store.usual = 'refused';

    await lease.settle({ tpm: 150 });

    expect(events.slice(1)).toMatchObject([{ kind: 'settled', posted: false }]);
  });

  it('of an observed limit that would have denied, in the lease', async () => {
    const limits = [Limit.perMinute('rpm', 1, { mode: 'observe' })];
    const limiter = bed.limiter({ onEvent });
    await limiter.acquire({ ...on, limits, consume: { rpm: 1 } });

    await limiter.acquire({ ...on, limits, consume: { rpm: 1 } });

    expect(events).toMatchObject([
      { kind: 'granted', lease: { overdrawn: [] } },
      { kind: 'granted', lease: { overdrawn: ['rpm'] } },
    ]);
  });

  it.each([
    { onUnavailable: 'deny', told: ['unavailable deny'] },
    { onUnavailable: 'allow', told: ['unavailable allow', 'granted'] },
    { onUnavailable: { local: { share: 1 } }, told: ['unavailable local', 'granted'] },
  ] as const)('of a database without an answer, and what $onUnavailable made of it', async ({ onUnavailable, told }) => {
    store.usual = 'refused';

    await bed
      .limiter({ onEvent, onUnavailable })
      .acquire(request)
      .catch(() => {});

    expect(events.map((event) => (event.kind === 'unavailable' ? `unavailable ${event.decided}` : event.kind))).toEqual(told);
  });

  it('of any other error, and the caller has the same error', async () => {
    const { limits: _none, ...stored } = request;

    const error = await bed
      .limiter({ onEvent })
      .acquire(stored)
      .catch((thrown: unknown) => thrown);

    expect(error).toBeInstanceOf(NoLimitsConfigured);
    expect(error).not.toBeInstanceOf(Contended);
    expect(events).toEqual([{ kind: 'failed', entity: 'key-123', resource: 'gpt-4', error }]);
  });

  it('of nothing, when a request names no entity: it limits nobody', async () => {
    const none = undefined as never;

    await expect(bed.limiter({ onEvent }).tryAcquire(none)).rejects.toMatchObject({ code: 'InvalidArgument' });
    await expect(bed.limiter({ onEvent }).reserve({} as never)).rejects.toMatchObject({ code: 'InvalidArgument' });

    expect(events).toEqual([]);
  });
});

it.each([
  {
    when: 'throws',
    onEvent: () => {
      throw new Error('listener');
    },
  },
  {
    when: 'rejects',
    onEvent: async () => {
      throw new Error('listener');
    },
  },
])('a listener that $when costs nobody a request', async ({ onEvent: faulty }) => {
  const limiter = bed.limiter({ onEvent: faulty });

  const lease = await limiter.acquire(request);
  await lease.settle({ tpm: 50 });

  expect(lease.unposted).toBe(0);
  expect(await limiter.available(on)).toEqual({ rpm: 1, tpm: 950 });
});
