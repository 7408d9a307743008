import { describe, expect, it } from 'vitest';
import { limitText } from '../../lib/config/limit-text.js';
import { problemText } from '../../lib/manifest/problem.js';
import { type ReadManifest, readManifest } from '../../lib/manifest/read-manifest.js';

/** Reads the first of these files, beside the others; those whose name starts with `preset ` are presets. */
function read(files: Readonly<Record<string, string>>): ReadManifest {
  const [file = '', text = ''] = Object.entries(files)[0] ?? [];
  return readManifest(`version: 1\n${text}`, {
    file,
    loadFile: (path) => (files[path] === undefined ? undefined : `version: 1\n${files[path]}`),
    loadPreset: (name) => (files[`preset ${name}`] === undefined ? undefined : `version: 1\n${files[`preset ${name}`]}`),
  });
}

const problemsOf = (result: ReadManifest) => ('problems' in result ? result.problems.map(problemText) : []);

/** What each scope has, as text. */
function settingsOf(result: ReadManifest) {
  if ('problems' in result) throw new Error(problemsOf(result).join('\n'));
  return result.manifest.settings.map(({ scope, limits, options }) => [
    Object.values(scope).join(' '),
    limits.map(limitText).join(' '),
    options,
  ]);
}

describe('a manifest that extends others', () => {
  it('has their limits by name, its own where it has one of that name, and other fields by themselves', () => {
    const result = read({
      'a/headgate.yaml': `
extends: [openai/tier-1, ../base.yaml]
resources:
  gpt-4o: { limits: { rpm: 3/minute }, shards: 2 }
`,
      'preset openai/tier-1': `
namespace: preset
resources:
  gpt-4o: { limits: { rpm: 1/minute, tpm: 100/minute }, shards: 8, bypass: false }
  o1: { limits: { rpm: 1/minute } }
`,
      'base.yaml': 'namespace: base\nresources: { gpt-4o: { limits: { tpm: 200/minute, rpd: 5/day } } }\n',
    });
    expect('manifest' in result && result.manifest.namespace).toBe('base');
    expect(settingsOf(result)).toEqual([
      ['gpt-4o', 'rpm=3/minute tpm=200/minute rpd=5/day', { shards: 2, bypass: false }],
      ['o1', 'rpm=1/minute', {}],
    ]);
  });

  it('takes away a limit that is null, and only one that is extended', () => {
    const base = 'system: { limits: { rpm: 1/minute, tpm: 2/minute } }';
    expect(settingsOf(read({ f: 'extends: ./b\nsystem: { limits: { rpm: null } }', b: base }))).toEqual([
      ['true', 'tpm=2/minute', {}],
    ]);
    expect(problemsOf(read({ f: 'extends: ./b\nsystem: { limits: { rpd: null } }', b: base }))).toEqual([
      expect.stringContaining('f:3:26  system.limits.rpd  Expected a limit'),
    ]);
  });

  it('may name tiers and parents that only they have', () => {
    const result = read({
      f: 'extends: ./b\nentities: { x: { tier: pro, parent: root } }',
      b: 'tiers: { pro: { limits: { rpm: 1/minute } } }\nentities: { root: }',
    });
    expect(problemsOf(result)).toEqual([]);
    expect('manifest' in result && result.manifest.entities).toEqual([
      { entity: 'root' },
      { entity: 'x', parent: 'root', tier: 'pro' },
    ]);
  });

  it('gives its priorities to what it extends as well', () => {
    const result = read({ f: 'extends: ./b\npriorities: true', b: 'system: { limits: { rpm: 1/minute } }' });
    expect(settingsOf(result)).toEqual([
      ['true', 'rpm=1/minute', { priorities: { low: 0.5, normal: 0.9, high: 1, critical: 1 } }],
    ]);
  });

  it('reads a file once that is extended in two ways', () => {
    const result = read({ f: 'extends: [./b, ./c]', b: 'extends: ./d', c: 'extends: ./d', d: 'system: { shard: 2 }' });
    expect(problemsOf(result)).toEqual(['d:2:11  system.shard  Unknown field. Did you mean shards?']);
  });

  it.each([
    {
      when: 'it extends itself',
      files: { f: 'extends: ./f' },
      problem: 'f:2:10  extends  Expected what does not extend itself: f → f',
    },
    {
      when: 'two extend each other',
      files: { f: 'extends: ./b', b: 'extends: [./f]' },
      problem: 'b:2:11  extends[0]  Expected what does not extend itself: f → b → f',
    },
    {
      when: 'a file is not there',
      files: { 'x/f': 'extends: ../b' },
      problem: 'x/f:2:10  extends  Expected a file that can be read: b',
    },
    {
      when: 'a preset extends a file',
      files: { f: 'extends: p', 'preset p': 'extends: /etc/passwd' },
      problem: 'preset p:2:10  extends  Expected a preset: a preset extends no file, got "/etc/passwd"',
    },
    {
      when: 'nine files extend each other in a row',
      files: Object.fromEntries(Array.from({ length: 12 }, (_, index) => [`${index}`, `extends: ./${index + 1}`])),
      problem: '8:2:10  extends  Expected at most 8 files that extend each other in a row',
    },
    {
      when: 'what is extended is wrong, and what is missing may be there',
      files: { f: 'extends: ./b\nsystem: { bypass: true, defaultTier: free }', b: 'tiers: 5' },
      problem: 'b:2:8  tiers  Expected an object, got 5',
    },
  ])('is refused when $when', ({ files, problem }) => {
    expect(problemsOf(read(files))).toEqual([problem]);
  });

  it('knows no preset of another name, and no file where none can be read', () => {
    const result = readManifest('version: 1\nextends: [../../package, ./x.yaml]', { file: 'f' });
    expect(problemsOf(result)).toEqual([
      'f:2:11  extends[0]  Expected a file that can be read: ../../package',
      'f:2:26  extends[1]  Expected a file that can be read: x.yaml',
    ]);
    expect(problemsOf(readManifest('version: 1\nextends: openai/../../package', { file: 'f' }))).toEqual([
      expect.stringMatching(/^f:2:10 {2}extends {2}Expected a preset of the package .*, got "openai\/\.\.\/\.\.\/package"$/),
    ]);
  });
});
