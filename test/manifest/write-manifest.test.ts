import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import type { Manifest } from '../../lib/manifest/manifest.js';
import { readManifest } from '../../lib/manifest/read-manifest.js';
import { manifestText } from '../../lib/manifest/write-manifest.js';
import { anyManifest, sorted } from './any-manifest.js';

const reread = (text: string) => readManifest(text, { file: 'f' });

describe('the text of a manifest', () => {
  it('has a line for each thing, sections apart, and limits as short texts', () => {
    const manifest: Manifest = {
      namespace: 'acme',
      settings: [
        { scope: { system: true }, limits: [Limit.perMinute('rpm', 60, { burst: 90 })], options: { defaultTier: 'free' } },
        {
          scope: { entity: 'acme', resource: 'gpt-4o' },
          limits: [],
          options: { bypass: true, priorities: { low: 0.25, normal: 0.9, high: 1, critical: 1 } },
        },
        { scope: { entity: 'guest' }, limits: [Limit.quota('usd', 5, { per: 'month', timeZone: 'Europe/Paris' })], options: {} },
      ],
      entities: [
        { entity: 'acme', metadata: { '17': ['no', 'null'], note: 'two\nlines' } },
        { entity: '007', parent: 'acme' },
      ],
    };
    expect(manifestText(manifest)).toBe(`# yaml-language-server: $schema=./node_modules/headgate/schema/manifest.json

version: 1
namespace: acme

system:
  limits:
    rpm: 60/minute,burst=90
  defaultTier: free

tiers:
  free: {}

entities:
  acme:
    metadata:
      "17":
        - no
        - "null"
      note: |-
        two
        lines
    resources:
      gpt-4o:
        priorities: { low: 0.25 }
        bypass: true
  "007":
    parent: acme
  guest:
    record: false
    limits:
      usd: 5/calendar-month,timeZone=Europe/Paris
`);
  });

  it('reads back to the same manifest, whatever it says', () => {
    fc.assert(
      fc.property(anyManifest, (manifest) => {
        const read = reread(manifestText(manifest));
        if ('problems' in read) throw new Error(JSON.stringify(read.problems));
        expect(sorted(read.manifest)).toEqual(sorted(manifest));
        expect(read.manifest.entities).toEqual(manifest.entities);
      }),
    );
  });

  it('begins with the header it is given', () => {
    const nothing = { namespace: undefined, settings: [], entities: [] };
    expect(manifestText(nothing, { header: 'Exported.\nBy hand.' })).toBe('# Exported.\n# By hand.\n\nversion: 1\n');
    expect(manifestText(nothing, { header: '' })).toBe('version: 1\n');
  });
});
