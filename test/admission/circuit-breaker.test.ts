import { beforeEach, describe, expect, it } from 'vitest';
import { CircuitBreaker } from '../../lib/admission/circuit-breaker.js';
import { InvalidArgument } from '../../lib/errors.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { StoreFailure } from '../../lib/store/store.js';
import { NO_ROUTE, UnreliableStore } from '../sdk/unreliable-store.js';

const key = { namespace: 'default', resource: 'gpt-4', entity: 'key-123', shard: 0 };
const item = { pk: 'default#config', sk: 'system' };

let store: UnreliableStore;
let breaker: CircuitBreaker;
let nowMs: number;

beforeEach(() => {
  store = new UnreliableStore(new MemoryStore());
  nowMs = 1_800_000_000_000;
  breaker = new CircuitBreaker(store, () => nowMs);
});

/** How a call ends: with an answer, a failure of the store, or unsent. */
async function call(): Promise<'answered' | 'failed' | 'unsent'> {
  const sent = store.calls.length;
  try {
    await breaker.read(key);
    return 'answered';
  } catch (error) {
    if (!(error instanceof StoreFailure)) throw error;
    return store.calls.length > sent ? 'failed' : 'unsent';
  }
}

async function calls(count: number, everyMs = 0): Promise<readonly string[]> {
  const ends: string[] = [];
  for (let index = 0; index < count; index += 1) {
    ends.push(await call());
    nowMs += everyMs;
  }
  return ends;
}

/** Five failures, the last one a second after the first was sent. */
async function silenced(): Promise<void> {
  store.usual = 'unsent';
  await calls(4, 250);
  await call();
}

describe('a store that gives no answer', () => {
  it('is silent from the fifth failure in a row on, a second after the first of them was sent', async () => {
    store.usual = 'unsent';
    expect(await calls(4, 250)).toEqual(['failed', 'failed', 'failed', 'failed']);
    expect(breaker.counts).toEqual({ silences: 0, unsent: 0 });
    expect(await calls(3)).toEqual(['failed', 'unsent', 'unsent']);
    expect(breaker.counts).toEqual({ silences: 1, unsent: 2 });
  });

  it.each([
    { when: 'a hundred failures came within a second', count: 100, everyMs: 9.9 },
    { when: 'four failures came within a minute', count: 4, everyMs: 15_000 },
  ])('is asked on when only $when', async ({ count, everyMs }) => {
    store.usual = 'unsent';
    expect(await calls(count, everyMs)).toEqual(Array.from({ length: count }, () => 'failed'));
    expect(breaker.counts.silences).toBe(0);
  });

  it.each(['read', 'write', 'getItems', 'queryItems', 'transact'] as const)(
    'fails every %s at once, which says why and is not to be sent again',
    async (name) => {
      await silenced();
      const sent = store.calls.length;
      const write = { key, limits: [], requests: 1, denials: 0, ttl: { seconds: 4_000_000_000, ifAbsent: true } };
      const made = {
        read: () => breaker.read(key),
        write: () => breaker.write(write),
        getItems: () => breaker.getItems([item]),
        queryItems: () => breaker.queryItems(item.pk, ''),
        transact: () => breaker.transact([{ kind: 'put', item }]),
      };
      await expect(made[name]()).rejects.toMatchObject({
        name: 'StoreFailure',
        message: 'nothing was sent, for there was no answer lately: no answer from the store',
        ambiguous: false,
        retryable: false,
        throttled: false,
        cause: NO_ROUTE,
      });
      expect(store.calls).toHaveLength(sent);
    },
  );

  it('is found silent by failures of calls of every kind together', async () => {
    store.usual = 'unsent';
    await expect(breaker.getItems([item])).rejects.toThrow();
    await expect(breaker.transact([{ kind: 'put', item }])).rejects.toThrow();
    await expect(breaker.queryItems(item.pk, '')).rejects.toThrow();
    nowMs += 1_000;
    expect(await calls(3)).toEqual(['failed', 'failed', 'unsent']);
  });
});

describe('a silent store', () => {
  it('is asked by one call when a second has passed, and by the next one a second after that failed', async () => {
    await silenced();
    nowMs += 999;
    expect(await call()).toBe('unsent');
    nowMs += 1;
    expect(await calls(3)).toEqual(['failed', 'unsent', 'unsent']);
    nowMs += 1_000;
    expect(await calls(2)).toEqual(['failed', 'unsent']);
    expect(breaker.counts).toEqual({ silences: 1, unsent: 4 });
  });

  it('is open to all calls again from its first answer on', async () => {
    await silenced();
    store.usual = 'answered';
    nowMs += 1_000;
    expect(await calls(3)).toEqual(['answered', 'answered', 'answered']);
    store.usual = 'unsent';
    expect(await calls(5, 200)).toEqual(['failed', 'failed', 'failed', 'failed', 'failed']);
    expect(await calls(2)).toEqual(['failed', 'unsent']);
    expect(breaker.counts.silences).toBe(2);
  });

  it('is asked by exactly one call at a time, however long its answer takes', async () => {
    await silenced();
    nowMs += 1_000;
    store.fates = ['hanging'];
    const asking = new AbortController();
    const asked = breaker.read(key, { signal: asking.signal });
    nowMs += 60_000;
    expect(await Promise.all([call(), call(), call()])).toEqual(['unsent', 'unsent', 'unsent']);
    asking.abort(new DOMException('no answer within 60000 ms', 'TimeoutError'));
    await expect(asked).rejects.toThrow('no answer from the store');
    expect(await call()).toBe('unsent');
    nowMs += 1_000;
    expect(await call()).toBe('failed');
  });

  it('is asked again at once when the caller of the call that asks gives it up', async () => {
    await silenced();
    nowMs += 1_000;
    store.fates = ['hanging'];
    const leaving = new AbortController();
    const asked = breaker.read(key, { signal: leaving.signal });
    leaving.abort();
    await expect(asked).rejects.toThrow('no answer from the store');
    store.usual = 'answered';
    expect(await call()).toBe('answered');
  });

  it('is silent no longer when a call that was sent before still gets its answer', async () => {
    let answer: () => void = () => {};
    const late = new Promise<undefined>((resolve) => {
      answer = () => resolve(undefined);
    });
    const inner = store.inner;
    const read = inner.read.bind(inner);
    inner.read = () => late;
    const early = breaker.read(key);
    inner.read = read;
    await silenced();
    answer();
    await early;
    store.usual = 'answered';
    expect(await call()).toBe('answered');
  });
});

describe('is not found silent by', () => {
  it.each([
    { what: 'throttles', fate: 'throttled' },
    { what: 'refusals', fate: 'refused' },
  ] as const)('$what, however many: they are answers', async ({ fate }) => {
    store.usual = fate;
    expect(await calls(20, 1_000)).toEqual(Array.from({ length: 20 }, () => 'failed'));
  });

  it('failures between which anything is answered', async () => {
    const row = ['unsent', 'unsent', 'unsent', 'unsent'] as const;
    store.fates = [...row, 'throttled', ...row, 'answered', ...row, 'refused', ...row];
    expect(await calls(19, 1_000)).not.toContain('unsent');
    expect(breaker.counts).toEqual({ silences: 0, unsent: 0 });
  });

  it('a table that does not exist', async () => {
    const missing = new InvalidArgument({ field: 'tableName', value: 'none', expected: 'a table that exists' });
    store.inner.read = () => Promise.reject(missing);
    for (let index = 0; index < 20; index += 1) {
      await expect(breaker.read(key)).rejects.toBe(missing);
      nowMs += 1_000;
    }
    expect(breaker.counts.silences).toBe(0);
  });

  it('calls that their callers gave up', async () => {
    store.usual = 'hanging';
    for (let index = 0; index < 20; index += 1) {
      await expect(breaker.read(key, { signal: AbortSignal.abort() })).rejects.toThrow('no answer from the store');
      nowMs += 1_000;
    }
    expect(breaker.counts.silences).toBe(0);
  });

  it('failures of calls that were sent before the latest answer', async () => {
    store.usual = 'hanging';
    const deadlines = Array.from({ length: 20 }, () => new AbortController());
    const old = deadlines.map(({ signal }) => breaker.read(key, { signal }));
    nowMs += 5_000;
    store.usual = 'answered';
    await call();
    for (const deadline of deadlines) deadline.abort(new DOMException('no answer within 5000 ms', 'TimeoutError'));
    expect((await Promise.allSettled(old)).every(({ status }) => status === 'rejected')).toBe(true);
    expect(breaker.counts.silences).toBe(0);
    expect(await call()).toBe('answered');
  });
});

it('deadlines that pass are no answers', async () => {
  store.usual = 'hanging';
  const late = new DOMException('no answer within 1000 ms', 'TimeoutError');
  for (let index = 0; index < 5; index += 1) {
    const deadline = new AbortController();
    const sent = breaker.read(key, { signal: deadline.signal });
    nowMs += 1_000;
    deadline.abort(late);
    await expect(sent).rejects.toThrow('no answer from the store');
  }
  expect(breaker.counts).toEqual({ silences: 1, unsent: 0 });
  expect(await call()).toBe('unsent');
});

it('one that is given is not put before itself', () => {
  expect(CircuitBreaker.before(breaker)).toBe(breaker);
  expect(CircuitBreaker.before(store)).not.toBe(store);
});
