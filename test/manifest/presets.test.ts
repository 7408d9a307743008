import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { limitText } from '../../lib/config/limit-text.js';
import { costsOf } from '../../lib/llm/costs.js';
import type { ScopeSetting } from '../../lib/manifest/manifest.js';
import { ManifestAdmin } from '../../lib/manifest/manifest-admin.js';
import { countsOf, planManifest } from '../../lib/manifest/plan.js';
import { presetNames, presetText } from '../../lib/manifest/presets.js';
import { problemText } from '../../lib/manifest/problem.js';
import { readManifest } from '../../lib/manifest/read-manifest.js';
import { manifestText } from '../../lib/manifest/write-manifest.js';
import { memory } from '../support/stores.js';
import { presetProblems } from './preset-problems.js';

const today = new Date().toISOString().slice(0, 10);

/** What a manifest sets for each resource; it has to be right. */
function resourcesOf(text: string): ReadonlyMap<string, ScopeSetting> {
  const read = readManifest(text, { file: 'headgate.yaml' });
  if ('problems' in read) throw new Error(read.problems.map(problemText).join('\n'));
  return new Map(read.manifest.settings.map((setting) => ['resource' in setting.scope ? setting.scope.resource : '', setting]));
}

const written = (setting: ScopeSetting | undefined) => setting?.limits.map(limitText);

describe('the presets', () => {
  it('are the files of the folder presets, by their path without the ending', () => {
    const files = readdirSync(new URL('../../presets/', import.meta.url), { recursive: true, encoding: 'utf8' });
    expect(presetNames()).toEqual(
      files
        .filter((file) => file.endsWith('.yaml'))
        .map((file) => file.replace('.yaml', ''))
        .sort(),
    );
    expect(presetNames()).toEqual(
      expect.arrayContaining(['anthropic/start', 'bedrock/global', 'gemini/tier-1', 'openai/tier-1']),
    );
  });

  it.each(presetNames())('%s is a right manifest, names its source and its day, and can be planned', async (name) => {
    const text = presetText(name) ?? '';
    expect(presetProblems(name, text, today)).toEqual([]);

    const { store, namespace } = await memory.fresh();
    const read = readManifest(text, { file: name });
    if ('problems' in read) throw new Error(`${name} has problems`);
    const plan = await planManifest(store, read.manifest, { namespace });
    expect(countsOf(plan)).toMatchObject({ create: read.manifest.settings.length, change: 0, remove: 0 });
    expect(readManifest(manifestText(read.manifest), { file: name })).toEqual(read);
  });
});

describe('a text is refused as a preset', () => {
  const right = `version: 1
description: Some API, tier 1
source: { urls: [https://developers.openai.com/api/docs/models], date: 2026-09-24 }
resources: { gpt-4o: { limits: { rpm: 1/minute } } }
`;
  const problems = (text: string) => presetProblems('openai/tier-1', text, '2026-09-24');

  it('only for a reason', () => {
    expect(problems(right)).toEqual([]);
  });

  it.each([
    { that: 'has no title', from: /description.*\n/, to: '', problem: 'Expected a title (description)' },
    { that: 'has an empty title', from: 'Some API, tier 1', to: '" "', problem: 'Expected a title (description)' },
    {
      that: 'names another’s page',
      from: 'developers.openai.com',
      to: 'notopenai.com',
      problem: 'Expected https at openai.com, got https://notopenai.com/api/docs/models',
    },
    {
      that: 'names a page without encryption',
      from: 'https:',
      to: 'http:',
      problem: 'Expected https at openai.com, got http://developers.openai.com/api/docs/models',
    },
    {
      that: 'was read in the future',
      from: '2026-09-24',
      to: '2026-09-25',
      problem: 'Expected a day until 2026-09-24, got 2026-09-25',
    },
    {
      that: 'was read on no day',
      from: '2026-09-24',
      to: '2026-02-30',
      problem: 'Expected a day until 2026-09-24, got 2026-02-30',
    },
    { that: 'says nothing', from: /resources.*\n/, to: '', problem: 'Expected limits or prices' },
    {
      that: 'limits everybody',
      from: 'resources:',
      to: 'system: { limits: { rpm: 1/minute } }\nresources:',
      problem: 'Expected nothing but resources and prices',
    },
    {
      that: 'has no day',
      from: ', date: 2026-09-24',
      to: '',
      problem: 'openai/tier-1:3:9  source.date  Expected this field: it is missing',
    },
    {
      that: 'is no right manifest',
      from: '1/minute',
      to: '1/moon',
      problem: expect.stringContaining('openai/tier-1:4:39  resources["gpt-4o"].limits.rpm  Expected'),
    },
  ])('that $that', ({ from, to, problem }) => {
    expect(problems(right.replace(from, to))).toEqual([problem]);
  });

  it('that has no source', () => {
    expect(problems(right.replace(/source.*\n/, ''))).toEqual(['Expected a source', 'Expected a day until 2026-09-24, got none']);
  });
});

describe('a manifest that extends a preset', () => {
  it.each([
    {
      preset: 'openai/tier-1',
      resource: 'gpt-4o-mini',
      limits: ['rpm=500/minute', 'rpd=10000/day', 'tpm=200000/minute'],
      prices: { input: 0.15, cachedInput: 0.075, output: 0.6 },
    },
    {
      preset: 'openai/tier-5',
      resource: 'gpt-6-luna',
      limits: ['rpm=30000/minute', 'tpm=180000000/minute'],
      prices: {
        input: 0.1,
        cachedInput: 0.01,
        cacheWrite: 0.125,
        output: 0.5,
        longPrompt: { above: 272_000, input: 0.2, cachedInput: 0.02, cacheWrite: 0.25, output: 0.75 },
      },
    },
    {
      preset: 'anthropic/build',
      resource: 'claude-opus-5-5',
      limits: ['rpm=5000/minute', 'itpm=5000000/minute,input=1,cachedInput=0', 'otpm=1000000/minute'],
      prices: { input: 4, cachedInput: 0.2, cacheWrite: 5, cacheWrite1h: 8, output: 20 },
    },
    {
      preset: 'gemini/tier-2',
      resource: 'gemini-2.5-pro',
      limits: ['usd=50000000/10m'],
      prices: {
        input: 1.25,
        cachedInput: 0.125,
        output: 10,
        longPrompt: { above: 200_000, input: 2.5, cachedInput: 0.25, output: 15 },
      },
    },
    {
      preset: 'bedrock/eu',
      resource: 'eu.anthropic.claude-haiku-4-5-20251001-v1:0',
      limits: ['rpm=10000/minute', 'tpm=5000000/minute,input=1,cachedInput=0,output=5'],
      prices: undefined,
    },
  ])('has what is published: $preset, $resource', ({ preset, resource, limits, prices }) => {
    const setting = resourcesOf(`version: 1\nextends: ${preset}\n`).get(resource);
    expect(written(setting)).toEqual(limits);
    expect(setting?.options).toEqual(prices === undefined ? {} : { prices });
  });

  // 1,000 tokens of input, 400 of them from the cache, and 100 of output.
  it.each([
    { preset: 'openai/tier-2', resource: 'gpt-4o', costs: { rpm: 1, tpm: 1_100 } },
    { preset: 'anthropic/start', resource: 'claude-sonnet-5', costs: { rpm: 1, itpm: 600, otpm: 100 } },
    { preset: 'bedrock/us', resource: 'us.anthropic.claude-sonnet-4-6', costs: { rpm: 1, tpm: 1_100 } },
    { preset: 'bedrock/global', resource: 'global.anthropic.claude-opus-4-8', costs: { tpm: 2_100 } },
    { preset: 'bedrock/mantle', resource: 'anthropic.claude-opus-4-8', costs: { itpm: 600, otpm: 100 } },
  ])('counts tokens as the provider does: $preset, $resource', ({ preset, resource, costs }) => {
    const setting = resourcesOf(`version: 1\nextends: ${preset}\n`).get(resource);
    const call = { inputTokens: 1_000, cachedInputTokens: 400, outputTokens: 100 };
    expect(costsOf(setting?.limits ?? [], call)).toEqual(costs);
  });

  it('is stored as a whole, prices included: nothing is left to change', async () => {
    const { store } = await memory.fresh();
    const admin = new ManifestAdmin({ store });
    const read = readManifest('version: 1\nextends: anthropic/start\n', { file: 'headgate.yaml' });
    if ('problems' in read) throw new Error('anthropic/start has problems');
    expect(await admin.apply(await admin.plan(read.manifest))).toMatchObject({ applied: true });

    expect(countsOf(await admin.plan(read.manifest))).toMatchObject({ changes: 0 });
    expect(new Set((await admin.export()).settings)).toEqual(new Set(read.manifest.settings));
  });

  it('and overrides one limit has that one, and all others as they are', () => {
    const preset = resourcesOf('version: 1\nextends: anthropic/start\n');
    const resources = resourcesOf(
      'version: 1\nextends: anthropic/start\nresources: { claude-haiku-4-5: { limits: { rpm: 25/minute } } }\n',
    );
    expect(written(resources.get('claude-haiku-4-5'))).toEqual([
      'rpm=25/minute',
      'itpm=2000000/minute,input=1,cachedInput=0',
      'otpm=400000/minute',
    ]);
    for (const [resource, setting] of preset) {
      if (resource !== 'claude-haiku-4-5') expect(resources.get(resource)).toEqual(setting);
    }
    expect([...resources.keys()]).toEqual([...preset.keys()]);
  });
});
