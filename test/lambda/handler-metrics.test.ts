import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { HandlerMetrics, metricsOf } from '../../lambda/handler-metrics.js';
import { Limit } from '../../lib/core/limit.js';
import { RateLimiter } from '../../lib/limiter.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { storedOf, valuesOf } from './embedded-metrics.js';

let lines: string[];
const print = (line: string) => void lines.push(line);
const metricsBy = (more: { readonly resources?: readonly string[]; readonly namespace?: string } = {}) =>
  new HandlerMetrics({ tableName: 'headgate', namespace: 'default', print, ...more });
const limiterOf = (metrics: HandlerMetrics) => new RateLimiter({ store: new MemoryStore(), onEvent: metrics.onEvent });
const setsOf = () => new Set(lines.flatMap(storedOf).map(({ name, dimensions }) => JSON.stringify([name, dimensions])));

beforeEach(() => {
  lines = [];
});

/** A grant and a denial on each of so many resources, an invocation each. */
async function used(metrics: HandlerMetrics, resources: readonly string[], limit = (_index: number) => 'rpm'): Promise<void> {
  const limiter = limiterOf(metrics);
  for (const [index, resource] of resources.entries()) {
    const name = limit(index);
    const request = { entity: `key-${index}`, resource, limits: [Limit.perDay(name, 1)], consume: { [name]: 1 } };
    await limiter.tryAcquire(request);
    await limiter.tryAcquire(request);
    metrics.flush(limiter.stats(), 1_800_000_000_000);
  }
}

const many = Array.from({ length: 1_000 }, (_, index) => `model-${index}`);

describe('cardinality', () => {
  it('a thousand resources get the figures of twenty and of `other`, and no request is lost from the sums', async () => {
    await used(metricsBy(), many);

    const granted = valuesOf(lines, 'Granted');
    expect(Object.keys(granted)).toHaveLength(1 + 20 + 1);
    expect(granted['model-0']).toEqual([1]);
    expect(granted['model-19']).toEqual([1]);
    expect(granted['model-20']).toBeUndefined();
    expect(granted.other).toHaveLength(980);
    expect(granted['']).toHaveLength(1_000);
    // By limit: the twenty resources', and one for all others.
    expect(Object.keys(valuesOf(lines, 'Denied'))).toHaveLength(1 + 21 + 21);
  });

  it('a thousand limits of one resource get the figures of a hundred and of `other`', async () => {
    await used(
      metricsBy(),
      many.map(() => 'gpt-4'),
      (index) => `limit-${index}`,
    );

    const denied = valuesOf(lines, 'Denied');
    expect(Object.keys(denied).filter((key) => key.startsWith('gpt-4 '))).toHaveLength(100);
    expect(denied['other other']).toHaveLength(900);
    expect(denied['gpt-4']).toHaveLength(1_000);
  });

  it('the resources that are named get figures of their own, and no others', async () => {
    await used(metricsBy({ resources: ['model-7', 'model-900'] }), many);

    expect(Object.keys(valuesOf(lines, 'Granted')).sort()).toEqual(['', 'model-7', 'model-900', 'other']);
  });

  it('an entity is never a dimension, however many there are', async () => {
    await used(
      metricsBy(),
      many.map(() => 'gpt-4'),
    );

    expect(setsOf().size).toBeLessThan(20);
    expect([...setsOf()].filter((set) => set.includes('key-'))).toEqual([]);
    expect(lines.filter((line) => JSON.parse(line).Entity === 'key-999')).toHaveLength(1);
  });
});

it.each([
  { when: 'it is not ASCII', name: 'modèle-ü', is: 'mod?le-?' },
  { when: 'it begins with a colon', name: ':free', is: '_:free' },
  { when: 'it is too long', name: 'm'.repeat(256), is: 'm'.repeat(250) },
])('a resource is a value that CloudWatch takes, when $when', async ({ name, is }) => {
  await used(metricsBy({ namespace: 'größe' }), [name]);

  expect(Object.keys(valuesOf(lines, 'Granted'))).toEqual(['', is]);
  expect(JSON.parse(lines[0] ?? '').Namespace).toBe('gr??e');
});

it('a metric has at most a hundred values in a line, and loses none', () => {
  const metrics = metricsBy();
  for (let ms = 1; ms <= 250; ms += 1) metrics.add('SettleLag', ms);
  metrics.flush(limiterOf(metrics).stats(), 1_800_000_000_000);

  expect(lines.map((line) => JSON.parse(line).SettleLag.length)).toEqual([100, 100, 50]);
  expect(valuesOf(lines, 'SettleLag')['']).toEqual(Array.from({ length: 250 }, (_, index) => index + 1));
});

it('a line is what Powertools prints of the same values', async () => {
  const metrics = metricsBy();
  metrics.add('Writes', 2);
  metrics.add('Writes', 1);
  metrics.add('SettleLag', 70);
  metrics.add('SettleLag', 90);
  metrics.flush(limiterOf(metrics).stats(), 1_800_000_000_000);

  const theirs = new Metrics({ namespace: 'Headgate' });
  theirs.setDefaultDimensions({ Table: 'headgate', Namespace: 'default' });
  theirs.addMetric('Writes', MetricUnit.Count, 3);
  theirs.addMetric('SettleLag', MetricUnit.Milliseconds, 70);
  theirs.addMetric('SettleLag', MetricUnit.Milliseconds, 90);
  theirs.setTimestamp(1_800_000_000_000);
  const { service: _service, ...expected } = { ...theirs.serializeMetrics() } as Record<string, unknown>;
  const [directive] = theirs.serializeMetrics()._aws.CloudWatchMetrics;
  expect(JSON.parse(lines[0] ?? '')).toEqual({
    ...expected,
    _aws: {
      Timestamp: 1_800_000_000_000,
      CloudWatchMetrics: [{ ...directive, Dimensions: [['Table', 'Namespace']] }],
    },
  });
});

it('counts of the limiter are printed as what was added since the last time', async () => {
  const metrics = metricsBy();

  await used(metrics, ['gpt-4', 'gpt-4o']);

  // A grant and the question of a denial each.
  expect(valuesOf(lines, 'Writes')).toEqual({ '': [2, 2] });
});

describe('by its environment a process has metrics', () => {
  it.each([
    { when: 'it runs in Lambda', env: { AWS_LAMBDA_FUNCTION_NAME: 'api' }, has: true },
    { when: 'they are on', env: { HEADGATE_METRICS: 'on' }, has: true },
    { when: 'they are off in Lambda', env: { AWS_LAMBDA_FUNCTION_NAME: 'api', HEADGATE_METRICS: 'off' }, has: false },
    { when: 'nothing is said outside Lambda', env: {}, has: false },
  ])('or not, when $when', ({ env, has }) => {
    expect(metricsOf(env, 'headgate', 'default') !== undefined).toBe(has);
  });

  it('or refuses another word for it', () => {
    expect(() => metricsOf({ HEADGATE_METRICS: 'yes' }, 'headgate', 'default')).toThrow(
      'Expected HEADGATE_METRICS to be on or off, got "yes"',
    );
  });

  it('of the resources that it names', async () => {
    const metrics = metricsOf({ HEADGATE_METRICS: 'on', HEADGATE_METRIC_RESOURCES: 'gpt-4,gpt-4o' }, 'headgate', 'default');
    const written = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => lines.push(String(chunk).trim()) > 0);
    if (metrics !== undefined) await used(metrics, ['o3', 'gpt-4o']);
    written.mockRestore();

    expect(Object.keys(valuesOf(lines, 'Granted'))).toEqual(['', 'other', 'gpt-4o']);
  });
});
