import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import type { Manifest } from '../../lib/manifest/manifest.js';
import { readManifest } from '../../lib/manifest/read-manifest.js';
import { updateManifestText } from '../../lib/manifest/update-manifest.js';
import { manifestText } from '../../lib/manifest/write-manifest.js';
import { anyManifest, sorted } from './any-manifest.js';

const FILES: Readonly<Record<string, string>> = {
  base: 'version: 1\nresources: { gpt-4o: { limits: { rpm: 1/minute, tpm: 2/minute }, shards: 2 } }\n',
};
const OPTIONS = { file: 'f', loadFile: (path: string) => FILES[path] };

function manifestOf(text: string): Manifest {
  const read = readManifest(text, OPTIONS);
  if ('problems' in read) throw new Error(JSON.stringify(read.problems));
  return read.manifest;
}

function updated(text: string, manifest: Manifest): string {
  const result = updateManifestText(text, manifest, OPTIONS);
  if ('problems' in result) throw new Error(JSON.stringify(result.problems));
  return result.text;
}

const WRITTEN = `# Who may do what.
version: 1   # of the format

# Everybody, agreed with finance.
system:
    limits:
        rpm: 60/60s      # one a second
        tpm: { amount: 1000, per: minute }
    # Nobody is without a tier.
    defaultTier: "free"

tiers:
    free: { limits: { rpm: 10/minute } } # trial
    # The paying ones.
    pro:
        limits: { rpm: 100/minute }

entities:
    # Our first customer.
    acme: { tier: pro }
    other:
        tier: free
`;

describe('a file that is updated', () => {
  it('comes back as it is, to the last character, when it says the same already', () => {
    for (const text of [WRITTEN, WRITTEN.replaceAll('\n', '\r\n'), `\uFEFF${WRITTEN}`])
      expect(updated(text, manifestOf(text))).toBe(text);
  });

  it('keeps comments, order and notation around what changes', () => {
    const { settings, entities, namespace } = manifestOf(WRITTEN);
    const changed: Manifest = {
      namespace,
      settings: [
        ...settings.map((setting) =>
          'system' in setting.scope
            ? { ...setting, limits: [Limit.perMinute('rpm', 90), Limit.perDay('rpd', 5), setting.limits[1]!] }
            : setting,
        ),
        { scope: { resource: 'o1' }, limits: [], options: { disabled: true } },
      ],
      entities: [...entities.filter(({ entity }) => entity !== 'other'), { entity: 'new', parent: 'acme' }],
    };
    const text = updated(WRITTEN, changed);
    expect(text).toBe(`# Who may do what.
version: 1 # of the format

# Everybody, agreed with finance.
system:
    limits:
        rpm: 90/minute # one a second
        tpm: { amount: 1000, per: minute }
        rpd: 5/day
    # Nobody is without a tier.
    defaultTier: "free"

tiers:
    free: { limits: { rpm: 10/minute } } # trial
    # The paying ones.
    pro:
        limits: { rpm: 100/minute }

entities:
    # Our first customer.
    acme: { tier: pro }
    new:
        parent: acme

resources:
    o1:
        disabled: true
`);
    expect(updated(text.replaceAll('\n', '\r\n'), manifestOf(WRITTEN))).toContain('\r\n    other:\r\n');
  });

  it('says what the manifest says, whatever it said before', () => {
    fc.assert(
      fc.property(anyManifest, anyManifest, (before, after) => {
        const text = updated(manifestText(before), after);
        expect(byName(manifestOf(text))).toEqual(byName(after));
      }),
      { numRuns: 60 },
    );
  });

  it('keeps the comment of every line that stays', () => {
    fc.assert(
      fc.property(anyManifest, anyManifest, (before, more) => {
        const plain = manifestText(before);
        const commented = plain.replaceAll(/^( *)(\S.*:)$/gm, '$1# before $2\n$1$2');
        const names = new Set(before.entities.map(({ entity }) => entity));
        const added = more.entities.filter(({ entity, parent }) => !names.has(entity) && parent === undefined);
        const after = { ...before, entities: [...before.entities, ...added.map(({ entity }) => ({ entity }))] };
        const hasLimits = before.settings.some(
          ({ scope }) => 'entity' in scope && added.some(({ entity }) => entity === scope.entity),
        );
        fc.pre(!hasLimits && !plain.includes('|') && !plain.includes('>'));
        const text = updated(commented, after);
        for (const [comment] of commented.matchAll(/# before .*/g)) expect(text).toContain(comment);
      }),
      { numRuns: 60 },
    );
  });

  it('keeps what it extends, and says only what differs', () => {
    const text = 'version: 1\nextends: ./base\nresources:\n  gpt-4o: { limits: { rpm: 5/minute } } # ours\n';
    const of = (limits: readonly Limit[], shards = 2): Manifest => ({
      namespace: undefined,
      settings: [{ scope: { resource: 'gpt-4o' }, limits, options: { shards } }],
      entities: [],
    });
    const [rpm, tpm] = [Limit.perMinute('rpm', 1), Limit.perMinute('tpm', 2)];
    expect(updated(text, of([rpm, tpm], 3))).toBe(
      'version: 1\nextends: ./base\nresources:\n  gpt-4o: { limits: { rpm: 1/minute }, shards: 3 } # ours\n',
    );
    expect(updated(text, of([tpm]))).toBe(
      'version: 1\nextends: ./base\nresources:\n  gpt-4o: { limits: { rpm: null } } # ours\n',
    );
    expect(updated(text, of([rpm, tpm], 1))).toBe(
      'version: 1\nextends: ./base\nresources:\n  gpt-4o: { limits: { rpm: 1/minute }, shards: 1 } # ours\n',
    );
    expect(updated('version: 1\nextends: ./base\n', of([rpm, tpm]))).toBe('version: 1\nextends: ./base\n');
  });

  it('is refused where what it extends cannot be taken away, and where it has problems itself', () => {
    const nothing = { namespace: undefined, settings: [], entities: [] };
    expect(updateManifestText('version: 1\nextends: ./base\n', nothing, OPTIONS)).toEqual({
      problems: [
        {
          file: 'f',
          line: 1,
          column: 1,
          path: 'resources',
          message: 'Expected this not to come from what the file extends, or from an alias: it cannot be changed here',
        },
      ],
    });
    expect(updateManifestText('version: 2\n', nothing, OPTIONS)).toEqual({
      problems: [{ file: 'f', line: 1, column: 10, path: 'version', message: 'Expected 1, got 2' }],
    });
  });

  it('changes what one alias stands for, and leaves the others', () => {
    const text = 'version: 1\ntiers:\n  a: { limits: &l { rpm: 1/minute } }\n  b: { limits: *l }\n  c: { limits: *l }\n';
    const tier = (name: string, amount: number) => ({
      scope: { tier: name },
      limits: [Limit.perMinute('rpm', amount)],
      options: {},
    });
    const of = (...settings: Manifest['settings']): Manifest => ({ namespace: undefined, settings, entities: [] });
    expect(updated(text, of(tier('a', 1), tier('b', 2), tier('c', 1)))).toBe(
      'version: 1\ntiers:\n  a: { limits: &l { rpm: 1/minute } }\n  b: { limits: { rpm: 2/minute } }\n  c: { limits: *l }\n',
    );
    expect(manifestOf(updated(text, of(tier('a', 2), tier('b', 1), tier('c', 1)))).settings.map(({ limits }) => limits)).toEqual([
      [Limit.perMinute('rpm', 2)],
      [Limit.perMinute('rpm', 1)],
      [Limit.perMinute('rpm', 1)],
    ]);
    expect(updateManifestText(text, of(tier('b', 1), tier('c', 1)), OPTIONS)).toEqual({
      problems: [expect.objectContaining({ path: 'tiers.a' })],
    });
  });

  it('states priorities only where they differ from those of the file', () => {
    const text = 'version: 1\npriorities: true\nsystem: { limits: { rpm: 1/minute } }\n';
    const shares = { low: 0.5, normal: 0.9, high: 1, critical: 1 };
    const of = (priorities: object): Manifest => ({
      namespace: undefined,
      settings: [{ scope: { system: true }, limits: [Limit.perMinute('rpm', 1)], options: priorities }],
      entities: [],
    });
    expect(updated(text, of({ priorities: shares }))).toBe(text);
    expect(updated(text, of({}))).toBe(
      'version: 1\npriorities: true\nsystem: { limits: { rpm: 1/minute }, priorities: false }\n',
    );
    expect(updated(text, of({ priorities: { ...shares, low: 0.1 } }))).toContain('priorities: { low: 0.1 }');
  });
});

/** Without the order of limits, which stays that of the file. */
const byName = (manifest: Manifest): unknown => {
  const { settings, entities, ...rest } = sorted(manifest);
  return {
    ...rest,
    settings: settings.map(({ limits, ...setting }) => ({
      ...setting,
      limits: [...limits].sort((a, b) => (a.name < b.name ? -1 : 1)),
    })),
    entities: [...entities].sort((a, b) => (a.entity < b.entity ? -1 : 1)),
  };
};
