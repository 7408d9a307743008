import { randomUUID } from 'node:crypto';
import type { APIGatewayAuthorizerResult, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import { Limit } from '../../lib/core/limit.js';
import { altered, bucketKey, RecordedBuckets } from '../usage/recorded-buckets.js';
import { coldStart, deployed, redeployed, slow, unreachable } from './cold-start.js';
import { answered, type Handler, posting } from './deployed-api.js';
import { chatEvent, DeployedGateway, forms } from './deployed-gateway.js';
import { printed, storedOf, valuesOf } from './embedded-metrics.js';
import { authorizerEvent } from './events.js';

const ON = { HEADGATE_METRICS: 'on' };
const api = async (more = {}): Promise<Handler> =>
  (await coldStart(() => import('../../lambda/api.js'), { ...ON, ...more })).handler;

let admin: HeadgateAdmin;
beforeAll(async () => {
  admin = await deployed();
});
afterEach(() => {
  redeployed();
  vi.restoreAllMocks();
});

async function limited(limits: readonly Limit[], resource = 'gpt-4'): Promise<string> {
  const entity = randomUUID();
  await admin.setLimits({ entity, resource }, limits);
  return entity;
}

const acquire = (entity: string, consume: object, more: object = {}) =>
  posting('/v1/acquire', { entity, resource: 'gpt-4', consume, ...more });

describe('the api prints', () => {
  it('a grant as one line: granted by resource, its attempts and its write, at the time the invocation began', async () => {
    const handler = await api();
    const entity = await limited([slow('rpm', 30)]);
    const beforeMs = Date.now();

    const lines = await printed(() => answered(handler, acquire(entity, { rpm: 1 })));

    expect(lines).toHaveLength(1);
    const [line = ''] = lines;
    expect(JSON.parse(line)).toMatchObject({ Namespace: 'tenant', Resource: 'gpt-4', Granted: 1, Attempts: 1, Writes: 1 });
    expect(JSON.parse(line)).not.toHaveProperty('Entity');
    expect(JSON.parse(line)._aws.Timestamp).toBeGreaterThanOrEqual(beforeMs);
    expect(
      storedOf(line)
        .filter(({ name }) => name === 'Granted')
        .map(({ dimensions, values }) => ({ dimensions, values })),
    ).toEqual([
      { dimensions: { Table: process.env.HEADGATE_TABLE, Namespace: 'tenant' }, values: [1] },
      { dimensions: { Table: process.env.HEADGATE_TABLE, Namespace: 'tenant', Resource: 'gpt-4' }, values: [1] },
    ]);
  });

  it('a denial once in all and by resource, and once for each limit that denied, with whose limit it was in the log', async () => {
    const handler = await api();
    const entity = await limited([slow('rpm', 1), slow('tpm', 10), slow('rpd', 100)]);
    await answered(handler, acquire(entity, { rpm: 1, tpm: 10, rpd: 1 }));

    const lines = await printed(() => answered(handler, acquire(entity, { rpm: 1, tpm: 10, rpd: 1 })));

    expect(valuesOf(lines, 'Denied')).toEqual({ '': [1], 'gpt-4': [1], 'gpt-4 rpm': [1], 'gpt-4 tpm': [1] });
    expect(valuesOf(lines, 'Granted')).toEqual({});
    expect(lines.map((line) => JSON.parse(line).Entity)).toEqual([undefined, entity, entity]);
  });

  it('a grant that an observed limit would have denied', async () => {
    const handler = await api();
    const observed = Limit.custom({ name: 'soft', capacity: 1, refillAmount: 1, refillPeriodMs: 86_400_000, mode: 'observe' });
    const entity = await limited([slow('rpm', 50), observed]);
    await answered(handler, acquire(entity, { rpm: 1, soft: 1 }));

    const lines = await printed(() => answered(handler, acquire(entity, { rpm: 1, soft: 1 })));

    expect(valuesOf(lines, 'Overdrawn')).toEqual({ '': [1], 'gpt-4': [1], 'gpt-4 soft': [1] });
    expect(valuesOf(lines, 'Granted')).toEqual({ '': [1], 'gpt-4': [1] });
  });

  it.each([
    { left: 10, near: {} },
    { left: 9, near: { '': [1], 'gpt-4': [1], 'gpt-4 tpm': [1] } },
  ])('a grant that leaves $left of 100 as near its limit, or not', async ({ left, near }) => {
    const handler = await api();
    const entity = await limited([slow('rpm', 50), slow('tpm', 100)]);

    const lines = await printed(() => answered(handler, acquire(entity, { rpm: 1, tpm: 100 - left })));

    expect(valuesOf(lines, 'NearLimit')).toEqual(near);
  });

  it('the queue in which a grant took its place, in milliseconds', async () => {
    const handler = await api();
    const entity = await limited([Limit.custom({ name: 'rpm', capacity: 1, refillAmount: 1, refillPeriodMs: 1_000_000 })]);
    await answered(handler, acquire(entity, { rpm: 1 }));

    const lines = await printed(() => answered(handler, acquire(entity, { rpm: 1 }, { maxWaitMs: 2_000_000 })));

    const { '': [waitedMs = 0, ...others] = [] } = valuesOf(lines, 'Waited');
    expect(others).toEqual([]);
    expect(waitedMs).toBeGreaterThan(900_000);
    expect(waitedMs).toBeLessThanOrEqual(1_000_000);
  });

  it('how long after its grant a lease was settled', async () => {
    const handler = await api();
    const entity = await limited([slow('tpm', 100)]);
    const { body } = await answered(handler, acquire(entity, { tpm: 50 }));

    const lines = await printed(() => answered(handler, posting('/v1/adjust', { lease: body.lease, actual: { tpm: 20 } })));

    const { '': [lagMs = -1, ...others] = [] } = valuesOf(lines, 'SettleLag');
    expect(others).toEqual([]);
    expect(lagMs).toBeGreaterThanOrEqual(0);
    expect(lagMs).toBeLessThan(20_000);
  });

  it('an error that is no denial by its code', async () => {
    const handler = await api();

    const lines = await printed(() => answered(handler, acquire(randomUUID(), { rpm: 1 })));

    expect(valuesOf(lines, 'Failed')).toEqual({ NoLimitsConfigured: [1] });
    expect(valuesOf(lines, 'Faults')).toEqual({});
  });

  it('a database without an answer: refused, and a fault of the api', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const handler = await api(await unreachable());

    const lines = await printed(() => answered(handler, acquire(randomUUID(), { rpm: 1 })));

    expect(valuesOf(lines, 'Unavailable')).toEqual({ deny: [1] });
    expect(valuesOf(lines, 'Faults')).toEqual({ api: [1] });
  });

  it('nothing of an invocation before in the next', async () => {
    const handler = await api();
    const entity = await limited([slow('rpm', 30)]);
    await printed(() => answered(handler, acquire(entity, { rpm: 1 })));

    const lines = await printed(() => answered(handler, { resource: '/v1/nothing' }));

    expect(lines).toEqual([]);
  });

  it('nothing when metrics are off', async () => {
    const handler = await api({ HEADGATE_METRICS: 'off' });
    const entity = await limited([slow('rpm', 30)]);

    expect(await printed(() => answered(handler, acquire(entity, { rpm: 1 })))).toEqual([]);
  });
});

describe('the authorizer prints', () => {
  type Authorize = (event: APIGatewayRequestAuthorizerEvent) => Promise<APIGatewayAuthorizerResult>;
  const authorizer = async (more = {}): Promise<Authorize> =>
    (await coldStart(() => import('../../lambda/authorizer.js'), { ...ON, ...more })).handler;
  const call = (secret: string) =>
    authorizerEvent({
      method: 'POST',
      resource: '/llm/{provider}/{path+}',
      path: '/llm/openai/v1/chat/completions',
      pathParameters: { provider: 'openai', path: 'v1/chat/completions' },
      headers: { 'x-api-key': secret },
    });
  const keyed = async (limits: readonly Limit[]) => (await admin.createKey({ entity: await limited(limits, 'openai') })).secret;

  it('grants and denials of its resource', async () => {
    const handler = await authorizer();
    const secret = await keyed([slow('rpm', 1)]);

    const granted = await printed(() => handler(call(secret)));
    const denied = await printed(() => handler(call(secret)));

    expect(valuesOf(granted, 'Granted')).toEqual({ '': [1], openai: [1] });
    expect(valuesOf(denied, 'Denied')).toEqual({ '': [1], openai: [1], 'openai rpm': [1] });
  });

  it('a call without a good key as unauthorized, which Lambda counts as an error, and not as a fault', async () => {
    const handler = await authorizer();

    const lines = await printed(() => handler(call('hg_no-such-key')).catch(() => {}));

    expect(valuesOf(lines, 'Unauthorized')).toEqual({ '': [1] });
    expect(valuesOf(lines, 'Faults')).toEqual({});
  });

  it('a database without an answer as its own fault', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const handler = await authorizer(await unreachable());

    const lines = await printed(() => handler(call(`hg_${'a'.repeat(43)}`)).catch(() => {}));

    expect(lines.length).toBeGreaterThan(0);
    expect(valuesOf(lines, 'Faults')).toEqual({ authorizer: [1] });
  });
});

describe.each(forms)('the gateway, its answers %s, prints', (form) => {
  let gateway: DeployedGateway;
  beforeAll(async () => {
    gateway = await DeployedGateway.start(form, () => ({ environment: ON }));
  });
  afterAll(async () => {
    await gateway.stop();
    admin = await deployed();
  });

  it('the grant of the model and both settlements, once, when the answer has ended', async () => {
    const entity = await gateway.limited();
    const authorizer = await gateway.admitted(entity);

    const lines = await printed(() => gateway.invoke(chatEvent({ authorizer })));

    expect(lines).toHaveLength(1);
    expect(valuesOf(lines, 'Granted')).toEqual({ '': [1], 'gpt-4': [1] });
    expect(Object.keys(valuesOf(lines, 'SettleLag'))).toEqual(['']);
    expect(valuesOf(lines, 'Writes')).toEqual({ '': [2] });
  });
});

describe('the aggregator prints', () => {
  const aggregator = async () => (await coldStart(() => import('../../lambda/aggregator.js'), ON)).handler;

  it('how many records a batch had, and the age of the oldest, of no namespace', async () => {
    const handler = await aggregator();
    const buckets = new RecordedBuckets();
    buckets.write(bucketKey({ entity: 'lagging' }), { at: new Date(Date.now() - 60_000).toISOString(), requests: 1 });
    buckets.write(bucketKey({ entity: 'lagging' }), { at: new Date(Date.now() - 2_000).toISOString(), requests: 1 });

    const lines = await printed(() => handler({ Records: buckets.records }));

    expect(valuesOf(lines, 'UsageRecords')).toEqual({ '': [2] });
    const [lagMs = 0] = valuesOf(lines, 'AggregatorLag')[''] ?? [];
    expect(lagMs).toBeGreaterThan(58_000);
    expect(lagMs).toBeLessThan(90_000);
    expect(valuesOf(lines, 'UsageFailures')).toEqual({});
    expect(lines.flatMap(storedOf).map(({ dimensions }) => Object.keys(dimensions).join())).toEqual(['Table', 'Table']);
  });

  it('a batch that was not booked to its end', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const handler = await aggregator();
    const buckets = new RecordedBuckets();
    const record = buckets.write(bucketKey({ entity: 'damaged' }), { at: new Date().toISOString(), requests: 1 });
    const damaged = altered(record, { NewImage: undefined });

    const lines = await printed(() => handler({ Records: [damaged] }));

    expect(valuesOf(lines, 'UsageFailures')).toEqual({ '': [1] });
  });
});
