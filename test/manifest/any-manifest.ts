/** Manifests of every kind that can be stored. */
import fc from 'fast-check';
import type { NewEntity } from '../../lib/config/entities.js';
import { Limit } from '../../lib/core/limit.js';
import type { Manifest, ScopeSetting } from '../../lib/manifest/manifest.js';
import { thingId } from '../../lib/manifest/thing.js';

/** Names that a file of YAML, or an object of JavaScript, might take for something else. */
const AWKWARD = [
  '<<',
  '__proto__',
  'null',
  'true',
  '007',
  '1e3',
  '~',
  '- x',
  'a: b',
  '*a',
  '&a',
  '!a',
  '? a',
  '|',
  '"',
  "'",
  '{}',
  'é',
  '%',
  '@',
  ' x',
  'x ',
  '17',
];

const anyName = fc.oneof(
  fc.constantFrom('acme', 'acme/search', 'gpt-4o', 'pro', 'limits', 'resources', 'priorities', ...AWKWARD),
  fc.stringMatching(/^[ -"$-~]{1,20}$/),
);

const anyAmount = fc.oneof(fc.integer({ min: 1, max: 1_000 }), fc.integer({ min: 1, max: 10_000_000 }));
const anyLimitName = fc.oneof(
  fc.constantFrom('rpm', 'tpm', 'itpm', 'usd', 'inflight', '1', '2', '__proto__'),
  fc.stringMatching(/^[\w.-]{1,9}$/),
);
const anyMode = fc.constantFrom({}, { mode: 'observe' as const });
const anyCounts = fc.constantFrom(
  {},
  { counts: 'tokens' as const, weights: { output: 5, cachedInput: 0.1 } },
  { counts: 'custom' as const },
);

const anySchedule = fc.constantFrom(
  {},
  {},
  { schedule: [{ cron: '* 9-16 * * 1-5', timeZone: 'Europe/Paris', scale: 0.5 }] },
  {
    schedule: [
      { cron: '0,30 9 1 * *', capacity: 7 },
      { cron: '* * * * SUN', scale: 2 },
    ],
  },
);

const anyLimit = fc
  .tuple(anyLimitName, anyAmount, fc.integer({ min: 1, max: 100_000_000 }), anyCounts, anyMode, anySchedule, fc.nat(3))
  .chain(([name, amount, time, counts, mode, schedule, kind]) => {
    const options = { ...counts, ...mode, ...schedule };
    if (kind === 0)
      return fc.constant<Limit>(Limit.custom({ name, capacity: amount, refillAmount: 7, refillPeriodMs: time, ...options }));
    if (kind === 1)
      return fc
        .constantFrom('UTC', 'Europe/Paris')
        .map((timeZone): Limit => Limit.quota(name, amount, { per: 'month', timeZone, ...options }));
    if (kind === 2) return fc.constant<Limit>(Limit.window(name, amount, { everyMs: time, ...options }));
    return fc.constant<Limit>(
      Limit.concurrent(name, (amount % 500) + 1, { leaseMs: (time % 86_400_000) + 1, ...mode, ...schedule }),
    );
  });
const anyLimits = fc.uniqueArray(anyLimit, { selector: ({ name }) => name, minLength: 1, maxLength: 4 });

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const anyOptions = fc.record(
  {
    shards: fc.integer({ min: 2, max: 64 }),
    priorities: fc.constantFrom(
      { low: 0.5, normal: 0.9, high: 1, critical: 1 },
      { low: 0.25, normal: 0.9, high: 0.9, critical: 1 },
      { low: 1, normal: 1, high: 1, critical: 1 },
    ),
    disabled: fc.boolean(),
    bypass: fc.boolean(),
  },
  { requiredKeys: [] },
);
const anyTierOptions = fc.record(
  {
    allowedResources: fc.array(anyName, { minLength: 1, maxLength: 3 }),
    maxContextTokens: fc.integer({ min: 1 }),
    priority: fc.constantFrom('low' as const, 'normal' as const),
  },
  { requiredKeys: [] },
);

const anyDollars = fc.integer({ min: 0, max: 1_000_000 }).map((cents) => cents / 100);
const ofTokens = {
  input: anyDollars,
  cachedInput: anyDollars,
  cacheWrite: anyDollars,
  cacheWrite1h: anyDollars,
  output: anyDollars,
};
const anyLongPrompt = fc.record({ above: fc.nat(), ...ofTokens }, { requiredKeys: ['above', 'input', 'output'] });
const anyPrices = fc.record({ ...ofTokens, longPrompt: anyLongPrompt }, { requiredKeys: ['input', 'output'] });

const anyContent = fc
  .tuple(optional(anyLimits), anyOptions)
  .map(([limits = [], options]) => ({ limits, options: limits.length > 0 ? options : { ...options, disabled: true } }));

const anyJson = fc.jsonValue({ maxDepth: 3 }).map((value): unknown => JSON.parse(JSON.stringify(value)));
const anyMetadata = fc.dictionary(fc.oneof(anyName, fc.string()), anyJson, { maxKeys: 4 }).map((value) => ({ ...value }));

interface Names {
  readonly resources: readonly string[];
  readonly tiers: readonly string[];
  readonly entities: readonly string[];
}

const anyNames: fc.Arbitrary<Names> = fc.record({
  resources: fc.uniqueArray(anyName, { maxLength: 3 }),
  tiers: fc.uniqueArray(anyName, { maxLength: 3 }),
  entities: fc.uniqueArray(anyName, { maxLength: 6 }),
});

/** Parents stand before their children: an entity's is one of the last that came before it, at most two levels down. */
function anyEntities({ tiers, entities }: Names): fc.Arbitrary<readonly NewEntity[]> {
  const each = entities.map((entity, index) =>
    fc
      .record({
        parent: index % 4 === 0 ? fc.constant(undefined) : fc.constantFrom(undefined, entities[index - 1]),
        tier: fc.constantFrom(undefined, ...tiers),
        name: optional(fc.string()),
        metadata: optional(anyMetadata),
        cascade: optional(fc.boolean()),
      })
      .map(({ parent, cascade, ...rest }) => {
        const told = { entity, ...rest, ...(parent !== undefined && { parent, cascade }) };
        return Object.fromEntries(Object.entries(told).filter(([, value]) => value !== undefined)) as unknown as NewEntity;
      }),
  );
  return fc.tuple(...each).chain((all) =>
    fc.subarray(all.filter(({ parent }) => parent === undefined)).map((gone) => {
      // Some entities have no record; then those below them have none either.
      const missing = new Set<string>();
      for (const one of all) if (gone.includes(one) || missing.has(one.parent ?? '')) missing.add(one.entity);
      return all.filter(({ entity, parent }) => !missing.has(entity) && !missing.has(parent ?? ''));
    }),
  );
}

function anySettings({ resources, tiers, entities }: Names): fc.Arbitrary<readonly ScopeSetting[]> {
  const on = <T extends object>(of: T) => resources.map((resource) => ({ ...of, resource }));
  const plain = [
    { system: true as const },
    ...resources.map((resource) => ({ resource })),
    ...[...tiers.map((tier) => ({ tier })), ...entities.map((entity) => ({ entity }))].flatMap(on),
    ...entities.map((entity) => ({ entity })),
  ];
  const settings = plain.map((scope) =>
    fc.tuple(anyContent, fc.boolean(), optional(anyPrices)).map(([{ limits, options }, inherit, prices]): ScopeSetting => {
      const told = inherit && !('system' in scope) ? { ...options, inherit } : options;
      const isPriced = prices !== undefined && Object.keys(scope).join() === 'resource';
      return { scope, limits, options: isPriced ? { ...told, prices } : told };
    }),
  );
  const ofTiers = tiers.map((tier) =>
    fc
      .tuple(anyContent, anyTierOptions)
      .map(([{ limits, options }, more]): ScopeSetting => ({ scope: { tier }, limits, options: { ...options, ...more } })),
  );
  return fc.tuple(...settings, ...ofTiers).chain((all) => fc.subarray(all));
}

export const anyManifest: fc.Arbitrary<Manifest> = anyNames.chain((names) =>
  fc.record({ namespace: optional(anyName), settings: anySettings(names), entities: anyEntities(names) }),
);

/** With its settings in an order that does not depend on that of a file. */
export const sorted = ({ settings, ...rest }: Manifest): Manifest => ({
  ...rest,
  settings: settings
    .map((setting) => ({ id: thingId({ kind: 'setting', scope: setting.scope }), setting }))
    .sort((a, b) => (a.id < b.id ? -1 : 1))
    .map(({ setting }) => setting),
});
