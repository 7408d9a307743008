import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import type { DeniedRequest } from '../../lib/frameworks/limited-request.js';
import type { Lease } from '../../lib/lease.js';
import type { RateLimiter } from '../../lib/limiter.js';
import { RateLimitExceeded } from '../../lib/rate-limit-exceeded.js';
import { UnreliableStore } from '../sdk/unreliable-store.js';
import { dynamo, type TestBed } from '../support/stores.js';
import { eventually } from './eventually.js';
import { type Asked, FRAMEWORKS, type Options, type Served, type Work } from './served-frameworks.js';

const KEY = { entity: 'key-123', resource: 'api' };
const LIMITS = [Limit.perMinute('rpm', 2), Limit.perMinute('tpm', 1_000)];
const ONE_AT_A_TIME = [Limit.perMinute('rpm', 10), Limit.concurrent('inflight', 1, { leaseMs: 60_000 })];

const says =
  (text: string): Work =>
  async () => ({ status: 200, text });

describe.each(FRAMEWORKS)('behind the middleware for $name', ({ serve, seesWaitersLeave }) => {
  let bed: TestBed;
  let limiter: RateLimiter;
  let open: Served[];
  beforeEach(async () => {
    bed = await dynamo.fresh();
    limiter = bed.limiter();
    open = [];
  });
  afterEach(async () => {
    await Promise.all(open.map(({ close }) => close()));
  });

  /** Serves an application, and gives what asks it. */
  async function asking(work: Work, options: Partial<Options> = {}) {
    const app = await serve({ limiter, entity: 'key-123', limits: LIMITS, ...options }, work);
    open.push(app);
    return (init?: RequestInit, path = '/') => fetch(`${app.url}${path}`, init);
  }

  it('a request that fits is worked on with its lease, and its answer tells the limits as they stand', async () => {
    const ask = await asking(async (lease) => ({
      status: 201,
      text: `${lease?.entity} ${lease?.resource} ${lease?.charged.rpm}`,
    }));
    const answer = await ask();

    expect([answer.status, await answer.text()]).toEqual([201, 'key-123 api 1']);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'ratelimit-policy': '"rpm";q=2;w=60, "tpm";q=1000;w=60',
      ratelimit: '"rpm";r=1;t=30, "tpm";r=1000;t=0',
      'x-ratelimit-limit-requests': '2',
      'x-ratelimit-remaining-requests': '1',
      'x-ratelimit-reset-requests': '30s',
    });
  });

  it('a request that does not fit is answered by 429 with the wait, and nobody works on it', async () => {
    const work = vi.fn(says('done'));
    const ask = await asking(work);
    await ask();
    await ask();
    const denied = await ask();

    expect(work).toHaveBeenCalledTimes(2);
    expect(denied.status).toBe(429);
    expect(Object.fromEntries(denied.headers)).toMatchObject({
      'content-type': 'application/problem+json',
      'retry-after': '30',
      ratelimit: '"rpm";r=0;t=30, "tpm";r=1000;t=0',
      'x-ratelimit-remaining-requests': '0',
    });
    expect(await denied.json()).toMatchObject({
      type: 'https://iana.org/assignments/http-problem-types#quota-exceeded',
      status: 429,
      code: 'RateLimitExceeded',
      retryAfterMs: 30_000,
      violations: [{ limit: 'rpm', available: 0, requested: 1 }],
    });
    bed.clock.advance(30_000);
    expect((await ask()).status).toBe(200);
  });

  it('of two requests at the same time for one token, one is let through', async () => {
    const ask = await asking(says('done'), { limits: [Limit.perMinute('rpm', 1)] });
    const answers = await Promise.all([ask(), ask()]);

    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 429]));
  });

  it('what the work settles is what it costs', async () => {
    const ask = await asking(
      async (lease) => {
        await lease?.settle({ tpm: 700 });
        return { status: 200, text: 'done' };
      },
      { consume: { rpm: 1, tpm: 100 } },
    );
    await ask();

    expect(await limiter.available({ ...KEY, limits: LIMITS })).toEqual({ rpm: 1, tpm: 300 });
  });

  it.each([
    { when: 'throws', status: undefined, available: { rpm: 2, tpm: 950 } },
    { when: 'answers 503', status: 503, available: { rpm: 2, tpm: 950 } },
    { when: 'answers 404', status: 404, available: { rpm: 1, tpm: 950 } },
  ])('work that settles some of its cost and then $when is charged $available', async ({ status, available }) => {
    const ask = await asking(async (lease) => {
      await lease?.settle({ tpm: 50 });
      if (status === undefined) throw new Error('out of paper');
      return { status, text: 'no' };
    });
    const answer = await ask();

    expect([answer.status, await answer.text()]).toEqual(status ? [status, 'no'] : [500, '{"thrown":"out of paper"}']);
    await eventually(async () => expect(await limiter.available({ ...KEY, limits: LIMITS })).toEqual(available));
  });

  it('a slot is held until the last byte of a stream was sent', async () => {
    let goOn = () => {};
    const rest = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const ask = await asking(async () => ({ chunks: parts(rest) }), { limits: ONE_AT_A_TIME });
    const streaming = await ask();
    const reader = readerOf(streaming);

    expect(await reader.next()).toBe('first ');
    expect((await ask()).status).toBe(429);
    goOn();
    expect([await reader.next(), await reader.next()]).toEqual(['last', undefined]);
    await eventually(async () => expect((await ask()).status).toBe(200));
  });

  it('a slot is free again when its client has left in the middle of a stream, and nothing else comes back', async () => {
    const never = new Promise<void>(() => {});
    const ask = await asking(async () => ({ chunks: parts(never) }), { limits: ONE_AT_A_TIME });
    const leave = new AbortController();
    const reader = readerOf(await ask({ signal: leave.signal }));

    expect(await reader.next()).toBe('first ');
    expect(await limiter.available({ ...KEY, limits: ONE_AT_A_TIME })).toEqual({ rpm: 9, inflight: 0 });
    leave.abort();
    await eventually(async () =>
      expect(await limiter.available({ ...KEY, limits: ONE_AT_A_TIME })).toEqual({ rpm: 9, inflight: 1 }),
    );
  });

  it('a slot is free again after an answer, a throw and an answer by 500', async () => {
    const works: Work[] = [says('done'), () => Promise.reject(new Error('broken')), async () => ({ status: 500, text: 'no' })];
    const ask = await asking((lease) => works.shift()?.(lease) ?? says('last')(lease), { limits: ONE_AT_A_TIME });
    for (const status of [200, 500, 500, 200]) {
      const answer = await ask();
      expect([answer.status, await answer.text()]).toEqual([status, expect.any(String)]);
      await eventually(async () =>
        expect(await limiter.available({ ...KEY, limits: ONE_AT_A_TIME })).toMatchObject({ inflight: 1 }),
      );
    }
  });

  it('a request waits as long as it may, and is let through when its time has come', async () => {
    const ask = await asking(says('done'), { limits: [Limit.perMinute('rpm', 1)], maxWaitMs: 60_000 });
    await ask();
    const waiting = ask();
    await eventually(async () =>
      expect(await limiter.available({ ...KEY, limits: [Limit.perMinute('rpm', 1)] })).toEqual({ rpm: -1 }),
    );
    bed.clock.advance(60_000);

    expect((await waiting).status).toBe(200);
  });

  it.skipIf(!seesWaitersLeave)('the place of a client that leaves while it waits is given back', async () => {
    const limits = [Limit.perMinute('rpm', 1)];
    const work = vi.fn(says('done'));
    const ask = await asking(work, { limits, maxWaitMs: 60_000 });
    await ask();
    const leave = new AbortController();
    const waiting = ask({ signal: leave.signal }).catch(() => 'left');
    await eventually(async () => expect(await limiter.available({ ...KEY, limits })).toEqual({ rpm: -1 }));
    leave.abort();

    expect(await waiting).toBe('left');
    await eventually(async () => expect(await limiter.available({ ...KEY, limits })).toEqual({ rpm: 0 }));
    expect(work).toHaveBeenCalledTimes(1);
  });

  it('limits that are stored apply, at every level: one of each that counts requests or what is in flight', async () => {
    const admin = bed.admin();
    await admin.createEntity({ entity: 'acme' });
    await admin.createEntity({ entity: 'key-123', parent: 'acme' });
    await admin.setLimits({ entity: 'key-123' }, [Limit.perMinute('rpm', 10), Limit.perMinute('tpm', 100)]);
    await admin.setLimits({ entity: 'acme' }, [Limit.perDay('rpd', 10), Limit.concurrent('inflight', 5, { leaseMs: 60_000 })]);
    const charged = async (lease: Lease | undefined) => ({ status: 200, text: JSON.stringify(lease?.charged) });

    const answer = await (await asking(charged, { limits: undefined }))();
    expect(await answer.json()).toEqual({ rpm: 1, tpm: 0, rpd: 1, inflight: 1 });
  });

  it('a request whose limits could not be read is let through where the limiter says so', async () => {
    const silent = new UnreliableStore(bed.store);
    silent.usual = 'refused';
    const decidedBy = async (lease: Lease | undefined) => ({ status: 200, text: String(lease?.decidedBy) });
    const ask = await asking(decidedBy, { limits: undefined, limiter: bed.limiter({ store: silent, onUnavailable: 'allow' }) });
    const answer = await ask();

    expect([answer.status, await answer.text()]).toEqual([200, 'allow']);
  });

  it('a request whose limits could not be read is not let through uncounted by a database that answers again', async () => {
    await bed.admin().setLimits({ system: true }, [Limit.perMinute('rpm', 1)]);
    const recovering = new UnreliableStore(bed.store);
    recovering.fates = ['refused'];
    const work = vi.fn(says('done'));
    const ask = await asking(work, { limits: undefined, limiter: bed.limiter({ store: recovering }) });
    const statuses = [(await ask()).status, (await ask()).status, (await ask()).status];

    expect(statuses).toEqual([503, 200, 429]);
    expect(work).toHaveBeenCalledTimes(1);
  });

  it('what keeps a request out is told by its own status, and nobody works on it', async () => {
    await bed.admin().setLimits({ resource: 'off' }, [], { disabled: true });
    const silent = new UnreliableStore(bed.store);
    silent.usual = 'refused';
    const work = vi.fn(says('done'));
    const stored = { limits: undefined, resource: 'off' };
    const rows: readonly [Partial<Options>, number, string][] = [
      [stored, 403, 'ResourceDisabled'],
      [{ limits: undefined }, 400, 'NoLimitsConfigured'],
      [{ consume: { rpm: 3 } }, 400, 'CostExceedsCapacity'],
      [{ consume: { tps: 3 } }, 400, 'UnknownLimit'],
      [{ entity: () => 'a#b' }, 400, 'InvalidArgument'],
      [{ limiter: bed.limiter({ store: silent }) }, 503, 'LimiterUnavailable'],
      [{ entity: () => undefined }, 401, 'Unauthorized'],
    ];
    for (const [options, status, code] of rows) {
      const answer = await (await asking(work, options))();
      expect([answer.status, answer.headers.get('content-type')]).toEqual([status, 'application/problem+json']);
      expect(await answer.json()).toMatchObject({ status, code });
    }
    expect(work).not.toHaveBeenCalled();
  });

  it('what the options throw is for the framework to answer', async () => {
    const work = vi.fn(says('done'));
    const ask = await asking(work, {
      entity: () => {
        throw new Error('no such session');
      },
    });
    const answer = await ask();

    expect([answer.status, await answer.json()]).toEqual([500, { thrown: 'no such session' }]);
    expect(work).not.toHaveBeenCalled();
  });

  it('entity, resource, limits, consume and priority are asked of each request', async () => {
    const ask = await asking(
      async (lease) => ({ status: 200, text: JSON.stringify([lease?.entity, lease?.resource, lease?.charged]) }),
      {
        entity: async ({ header }) => header('x-key'),
        resource: ({ path }) => path.slice(1),
        limits: ({ path }) => [Limit.perMinute('tpm', path === '/small' ? 10 : 100)],
        consume: async ({ header }) => ({ tpm: Number(header('x-tokens')) }),
        priority: () => 'high',
      },
    );
    const headers = { 'x-key': 'key-7', 'x-tokens': '11' };

    expect(await (await ask({ headers }, '/large')).json()).toEqual(['key-7', 'large', { tpm: 11 }]);
    expect((await ask({ headers }, '/small')).status).toBe(400);
  });

  it('a request that is skipped is limited by nothing, and has no lease', async () => {
    const ask = await asking(async (lease) => ({ status: 200, text: lease === undefined ? 'no lease' : 'a lease' }), {
      skip: ({ path }) => path === '/health',
      entity: () => undefined,
    });
    const answer = await ask({}, '/health');

    expect([answer.status, await answer.text(), answer.headers.get('ratelimit')]).toEqual([200, 'no lease', null]);
    expect((await ask()).status).toBe(401);
  });

  it('onDenied is told why, and says the answer otherwise', async () => {
    const told: DeniedRequest<Asked>[] = [];
    const ask = await asking(says('done'), {
      consume: { rpm: 2 },
      onDenied: (denied) => {
        told.push(denied);
        return { status: 503, body: { error: 'later' } };
      },
    });
    await ask();
    const answer = await ask({}, '/chat');

    expect([answer.status, await answer.json(), answer.headers.get('retry-after')]).toEqual([503, { error: 'later' }, '60']);
    expect(told).toMatchObject([{ request: { path: '/chat' }, error: expect.any(RateLimitExceeded), answer: { status: 429 } }]);
  });

  it('the headers of an answer stay its own', async () => {
    const ask = await asking(async () => ({ status: 200, text: 'done', headers: { ratelimit: 'mine' } }));
    const { headers } = await ask();

    expect([headers.get('ratelimit'), headers.get('x-ratelimit-remaining-requests')]).toEqual(['mine', '1']);
  });
});

async function* parts(rest: Promise<void>) {
  yield 'first ';
  await rest;
  yield 'last';
}

/** The text of an answer as it comes, undefined at the end. */
function readerOf({ body }: Response) {
  const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
  return { next: async () => (await reader.read()).value };
}
