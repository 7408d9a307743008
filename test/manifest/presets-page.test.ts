import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { limitText } from '../../lib/config/limit-text.js';
import { ManifestAdmin } from '../../lib/manifest/manifest-admin.js';
import { presetNames } from '../../lib/manifest/presets.js';
import { problemText } from '../../lib/manifest/problem.js';
import { readManifest } from '../../lib/manifest/read-manifest.js';
import { memory } from '../support/stores.js';

const page = readFileSync(new URL('../../docs/presets.md', import.meta.url), 'utf8');
const examples = [...page.matchAll(/```yaml\n(.*?)```/gs)].map(([, text = '']) => text);

function manifestOf(text = '') {
  const read = readManifest(text, { file: 'headgate.yaml' });
  if ('problems' in read) throw new Error(read.problems.map(problemText).join('\n'));
  return read.manifest;
}

const limitsOf = (text: string | undefined, resource: string) =>
  manifestOf(text)
    .settings.find(({ scope }) => 'resource' in scope && scope.resource === resource && !('entity' in scope))
    ?.limits.map(limitText);

describe('docs/presets.md', () => {
  it('names every preset', () => {
    expect(presetNames().filter((name) => !page.includes(`\`${name}\``) && !/^(openai|gemini)\/tier-\d$/.test(name))).toEqual([]);
  });

  it('has manifests that are right', () => {
    expect(examples.map((text) => manifestOf(text).settings.length > 0)).toEqual([true, true, true]);
  });

  it('overrides limit by limit and price by price, as it says', () => {
    const [, overriding] = examples;
    expect(limitsOf(overriding, 'gpt-4.1')).toEqual(['rpm=500/minute', 'tpm=450000/minute']);
    expect(limitsOf(overriding, 'gpt-4o-mini')).toEqual(['rpm=500/minute', 'tpm=200000/minute']);
    expect(limitsOf(overriding, 'gpt-4o')).toEqual(['rpm=500/minute', 'tpm=30000/minute']);
  });

  it('holds a preset for the account, where all hang on it', async () => {
    const { store, namespace, limiter } = await memory.fresh();
    const admin = new ManifestAdmin({ store, namespace });
    await admin.apply(await admin.plan(manifestOf(examples[2])));
    const left = async (entity: string) => limiter().available({ entity, resource: 'gpt-4.1' });

    await limiter().acquire({ entity: 'team-a', resource: 'gpt-4.1', consume: { rpm: 1, tpm: 27_000 } });

    expect(await left('our-account')).toEqual({ rpm: 499, tpm: 3_000 });
    expect(await left('team-b')).toEqual({ rpm: 499, tpm: 3_000, usd: 5_000_000 });
    expect(await left('somebody else')).toEqual({ rpm: 500, tpm: 30_000 });
  });
});
