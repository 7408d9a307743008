import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { type ReadManifest, readManifest } from '../../lib/manifest/read-manifest.js';

const read = (text: string): ReadManifest => readManifest(text, { file: 'headgate.yaml' });

/** The manifest of a text that has no problems. */
function manifestOf(text: string) {
  const result = read(text);
  if ('problems' in result) throw new Error(JSON.stringify(result.problems));
  return result.manifest;
}

describe('a manifest', () => {
  it('is a list of settings and entities, as setLimits and createEntity take them', () => {
    const manifest = manifestOf(`
version: 1
namespace: acme
system:
  limits: { rpm: 600/minute, tpm: { amount: 100000, per: minute, burst: 200000 } }
  defaultTier: free
resources:
  gpt-4o:
    limits: { rpm: 500/minute }
    shards: 4
    disabled: false
tiers:
  free:
    limits: { rpm: 10/minute }
    allowedResources: ['gpt-4o-mini*']
    maxContextTokens: 8000
    priority: low
    resources: { gpt-4o: { limits: { rpm: 1/minute } } }
entities:
  acme/search:
    parent: acme
    cascade: false
    limits: { usd: 5000000/calendar-month }
    resources: { gpt-4o: { bypass: true } }
  acme: { tier: free, name: Acme Ltd, metadata: { contract: 17 } }
`);
    expect(manifest.namespace).toBe('acme');
    expect(manifest.settings).toEqual([
      {
        scope: { system: true },
        limits: [Limit.perMinute('rpm', 600), Limit.perMinute('tpm', 100_000, { burst: 200_000 })],
        options: { defaultTier: 'free' },
      },
      { scope: { resource: 'gpt-4o' }, limits: [Limit.perMinute('rpm', 500)], options: { shards: 4, disabled: false } },
      {
        scope: { tier: 'free' },
        limits: [Limit.perMinute('rpm', 10)],
        options: { allowedResources: ['gpt-4o-mini*'], maxContextTokens: 8_000, priority: 'low' },
      },
      { scope: { tier: 'free', resource: 'gpt-4o' }, limits: [Limit.perMinute('rpm', 1)], options: {} },
      { scope: { entity: 'acme/search' }, limits: [Limit.quota('usd', 5_000_000, { per: 'month' })], options: {} },
      { scope: { entity: 'acme/search', resource: 'gpt-4o' }, limits: [], options: { bypass: true } },
    ]);
    expect(manifest.entities).toEqual([
      { entity: 'acme', tier: 'free', name: 'Acme Ltd', metadata: { contract: 17 } },
      { entity: 'acme/search', parent: 'acme', cascade: false },
    ]);
  });

  it.each([
    { text: '60/minute', limit: Limit.perMinute('x', 60) },
    {
      text: '{ amount: 10, per: 10s, burst: 20 }',
      limit: Limit.custom({ name: 'x', capacity: 20, refillAmount: 10, refillPeriodMs: 10_000 }),
    },
    {
      text: '{ amount: 9, per: calendar-day, timeZone: Europe/Paris }',
      limit: Limit.quota('x', 9, { per: 'day', timeZone: 'Europe/Paris' }),
    },
    {
      text: '{ amount: 50, per: session-5h, mode: observe }',
      limit: Limit.window('x', 50, { everyMs: 18_000_000, mode: 'observe' }),
    },
    { text: '{ amount: 20, per: lease-2m }', limit: Limit.concurrent('x', 20, { leaseMs: 120_000 }) },
    {
      text: '{ amount: 9, per: minute, counts: tokens, weights: { output: 5 } }',
      limit: Limit.perMinute('x', 9, { counts: 'tokens', weights: { output: 5 } }),
    },
    {
      text: '{ amount: 9, per: minute, schedule: [{ cron: "* 9-16 * * 1-5", timeZone: Europe/Paris, scale: 0.5 }] }',
      limit: Limit.perMinute('x', 9, { schedule: [{ cron: '* 9-16 * * 1-5', timeZone: 'Europe/Paris', scale: 0.5 }] }),
    },
    {
      text: '"9/minute,burst=18; x0.5 at * 9-16 * * 1-5 Europe/Paris; 5/minute at 0,30 * * * *"',
      limit: Limit.perMinute('x', 9, {
        burst: 18,
        schedule: [
          { cron: '* 9-16 * * 1-5', timeZone: 'Europe/Paris', scale: 0.5 },
          { cron: '0,30 * * * *', capacity: 5, refillAmount: 5, refillPeriodMs: 60_000 },
        ],
      }),
    },
  ])('has a limit for $text', ({ text, limit }) => {
    expect(manifestOf(`version: 1\nsystem: { limits: { x: ${text} } }`).settings[0]?.limits).toEqual([limit]);
  });

  it('gives its priorities to every scope that has limits and states none, and to no other', () => {
    const { settings } = manifestOf(`
version: 1
priorities: { low: 0.25 }
system: { limits: { rpm: 1/minute } }
resources:
  own: { limits: { rpm: 1/minute }, priorities: true }
  off: { limits: { rpm: 1/minute }, priorities: false }
  bare: { disabled: true }
`);
    expect(settings.map(({ options }) => options)).toEqual([
      { priorities: { low: 0.25, normal: 0.9, high: 1, critical: 1 } },
      { priorities: { low: 0.5, normal: 0.9, high: 1, critical: 1 } },
      {},
      { disabled: true },
    ]);
  });

  it('leaves the options of what inherits to the next scope, unless they are given there', () => {
    const { settings } = manifestOf(`
version: 1
priorities: true
resources:
  own: { limits: { rpm: 1/minute }, inherit: true, priorities: { low: 0.25 }, shards: 4 }
  next: { limits: { rpm: 1/minute }, inherit: true }
  off: { limits: { rpm: 1/minute }, inherit: true, priorities: false, shards: 1 }
  empty: { inherit: true }
`);
    expect(settings.map(({ limits, options }) => [limits.length, options])).toEqual([
      [1, { inherit: true, priorities: { low: 0.25, normal: 0.9, high: 1, critical: 1 }, shards: 4 }],
      [1, { inherit: true }],
      [1, { inherit: true, priorities: { low: 1, normal: 1, high: 1, critical: 1 }, shards: 1 }],
      [0, { inherit: true }],
    ]);
  });

  it('has no record for an entity that says so', () => {
    const { settings, entities } = manifestOf('version: 1\nentities: { x: { record: false, limits: { rpm: 1/minute } }, y: }');
    expect(settings).toEqual([{ scope: { entity: 'x' }, limits: [Limit.perMinute('rpm', 1)], options: {} }]);
    expect(entities).toEqual([{ entity: 'y' }]);
  });

  it('may name a tier for which nothing is stored', () => {
    const { settings, entities } = manifestOf('version: 1\ntiers: { pro: }\nentities: { x: { tier: pro } }');
    expect(settings).toEqual([]);
    expect(entities).toEqual([{ entity: 'x', tier: 'pro' }]);
  });

  it('takes names as they are written, whatever YAML would make of them', () => {
    const { entities } = manifestOf('version: 1\nentities:\n  007:\n  true:\n  1e3:\n  __proto__:\n  "a: b":\n');
    expect(entities.map(({ entity }) => entity)).toEqual(['007', 'true', '1e3', '__proto__', 'a: b']);
  });

  it('keeps limits in the order of the file, names that look like numbers too', () => {
    const { settings } = manifestOf('version: 1\nsystem: { limits: { b: 1/minute, 2: 1/minute, 1: 1/minute } }');
    expect(settings[0]?.limits.map(({ name }) => name)).toEqual(['b', '2', '1']);
  });

  it('reads an alias as what its anchor has, and begins with a byte order mark or not', () => {
    const { settings } = manifestOf('\uFEFFversion: 1\ntiers:\n  a: { limits: &l { rpm: 1/minute } }\n  b: { limits: *l }\n');
    expect(settings.map(({ limits }) => limits)).toEqual([[Limit.perMinute('rpm', 1)], [Limit.perMinute('rpm', 1)]]);
  });
});
