import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HeadgateAdmin } from '../../lib/admin.js';
import { Limit } from '../../lib/core/limit.js';
import { createTestTable, testClient } from '../support/dynamodb.js';
import { BuiltCli } from './cli-process.js';

let cli: BuiltCli;
let tableName: string;
let namespace: string;
let namespaces = 0;

beforeAll(async () => {
  cli = await BuiltCli.build();
  tableName = await createTestTable();
});
afterAll(() => cli.remove());
beforeEach(() => {
  namespaces += 1;
  namespace = `export-${namespaces}`;
});

const headgate = (...args: readonly string[]) =>
  cli.run(args, { HEADGATE_TABLE: tableName, HEADGATE_NAMESPACE: namespace, HEADGATE_ACTOR: 'ada' });
const admin = () => new HeadgateAdmin({ client: testClient(), tableName, namespace });

/** Writes a file; its path. */
async function fileOf(name: string, text: string): Promise<string> {
  const path = join(cli.folder, name);
  await writeFile(path, text);
  return path;
}

const EVERYTHING = `version: 1
priorities: { low: 0.5 }
system:
  limits: { rpm: 600/minute }
  defaultTier: free
resources:
  gpt-4o:
    limits: { tpm: { amount: 9000, per: minute, schedule: [{ cron: '* 22-23 * * *', timeZone: Europe/Paris, scale: 2 }] } }
    shards: 4
  o1: { disabled: true }
tiers:
  free: { limits: { rpm: 10/minute }, allowedResources: ['gpt-4o*'], resources: { gpt-4o: { limits: { rpm: 5/minute } } } }
  pro: { limits: { rpm: 100/minute }, priorities: false }
entities:
  acme: { tier: pro, name: Acme Ltd, metadata: { contract: 17, note: "a\\tb \\u2028 \\x7f" } }
  acme/search: { parent: acme, cascade: false, limits: { usd: 5000000/calendar-month }, resources: { gpt-4o: { bypass: true } } }
  stranger: { record: false, limits: { rpm: 1/minute } }
prices:
  gpt-4o: { input: 2.5, output: 10 }
`;

const EXPORTED = `# yaml-language-server: $schema=./node_modules/headgate/schema/manifest.json

version: 1
namespace: export-1

system:
  limits:
    rpm: 600/minute
  priorities: true
  defaultTier: free

resources:
  gpt-4o:
    limits:
      tpm: { amount: 9000, per: minute, schedule: [ { cron: "* 22-23 * * *", timeZone: Europe/Paris, scale: 2 } ] }
    shards: 4
    priorities: true
  o1:
    disabled: true

tiers:
  free:
    limits:
      rpm: 10/minute
    priorities: true
    allowedResources: [ gpt-4o* ]
    resources:
      gpt-4o:
        limits:
          rpm: 5/minute
        priorities: true
  pro:
    limits:
      rpm: 100/minute

entities:
  acme:
    tier: pro
    name: Acme Ltd
    metadata:
      contract: 17
      note: "a\\tb \\u2028 \\u007f"
  acme/search:
    parent: acme
    cascade: false
    limits:
      usd: 5000000/calendar-month
    priorities: true
    resources:
      gpt-4o:
        bypass: true
  stranger:
    record: false
    limits:
      rpm: 1/minute
    priorities: true

prices:
  gpt-4o: { input: 2.5, output: 10 }
`;

const WRITTEN = `version: 1 # of the format

# Agreed with finance.
system: { limits: { rpm: 60/60s } } # one a second
tiers:
  pro: { limits: { rpm: 100/minute } }
entities:
  # Our first customer.
  acme: { tier: pro }
`;

describe('headgate limits export', () => {
  it('prints all that is stored as a manifest whose plan is empty, and no secret', async () => {
    expect(await headgate('limits', 'apply', '--yes', '-f', await fileOf('all.yaml', EVERYTHING))).toMatchObject({ code: 0 });
    await admin().createKey({ entity: 'acme/search' });

    const exported = await headgate('limits', 'export');

    expect(exported).toEqual({ code: 0, stdout: EXPORTED, stderr: '' });
    const file = await fileOf('stored.yaml', exported.stdout);
    expect(await headgate('limits', 'plan', '-f', file, '--prune', '--exit-code')).toEqual({
      code: 0,
      stdout: 'Nothing to change: 11 unchanged.\n',
      stderr: '',
    });
    expect(await admin().keys('acme/search')).toHaveLength(1);
  });

  it('prints what was stored by hand as well, as JSON that is a manifest too', async () => {
    await admin().setLimits({ system: true }, [Limit.perMinute('rpm', 60)]);
    await admin().createEntity({ entity: '007', tier: 'pro' });

    const { stdout } = await headgate('limits', 'export', '--json');

    expect(JSON.parse(stdout)).toEqual({
      version: 1,
      namespace,
      system: { limits: { rpm: '60/minute' } },
      tiers: { pro: {} },
      entities: { '007': { tier: 'pro' } },
    });
    const plan = await headgate('limits', 'plan', '-f', await fileOf('stored.json', stdout));
    expect(plan.stdout).toBe(
      '= the system\n= entity 007\n\nNothing to change: 0 unchanged, 2 as they should be and managed from now on.\n',
    );
  });

  it('changes a file so that it says what is stored, and keeps its comments, order and notation', async () => {
    const file = await fileOf('headgate.yaml', WRITTEN);
    await admin().setLimits({ system: true }, [Limit.perMinute('rpm', 60)]);
    await admin().setLimits({ tier: 'pro' }, [Limit.perMinute('rpm', 200), Limit.perMinute('tpm', 9)]);
    await admin().createEntity({ entity: 'acme', tier: 'pro' });
    await admin().createEntity({ entity: 'acme/search', parent: 'acme' });

    expect(await headgate('limits', 'export', '-f', file)).toEqual({
      code: 0,
      stdout: `${file} now says what is stored: 2 scopes, 3 limits, 2 entities.\n`,
      stderr: '',
    });

    expect(await readFile(file, 'utf8')).toBe(`version: 1 # of the format

# Agreed with finance.
system: { limits: { rpm: 60/60s } } # one a second
tiers:
  pro: { limits: { rpm: 200/minute, tpm: 9/minute } }
entities:
  # Our first customer.
  acme: { tier: pro }
  acme/search:
    parent: acme
`);
    expect((await headgate('limits', 'plan', '-f', file, '--exit-code')).code).toBe(0);
    expect((await headgate('limits', 'export', '-f', file)).stdout).toBe(
      `${file} says what is stored, as it did before: 2 scopes, 3 limits, 2 entities.\n`,
    );
  });

  it('makes a file where there is none', async () => {
    await admin().setLimits({ system: true }, [Limit.perMinute('rpm', 60)]);
    const file = join(cli.folder, 'new.yaml');

    expect((await headgate('limits', 'export', '-f', file)).stdout).toBe(
      `${file} was made and says what is stored: 1 scope, 1 limit, 0 entities.\n`,
    );
    expect((await headgate('limits', 'plan', '-f', file, '--exit-code')).code).toBe(0);
  });

  it('leaves a file alone that has problems, that extends what is not stored, or that is of another namespace', async () => {
    const wrong = await fileOf('wrong.yaml', 'version: 1\nsystem: { limit: { rpm: 1/minute } }\n');
    expect(await headgate('limits', 'export', '-f', wrong)).toMatchObject({
      code: 2,
      stdout: `${wrong}:2:11  system.limit  Unknown field. Did you mean limits?\n`,
    });
    await fileOf('base.yaml', 'version: 1\ntiers: { pro: { limits: { rpm: 1/minute } } }\n');
    const text = 'version: 1\nextends: ./base.yaml\n';
    const extending = await fileOf('extending.yaml', text);
    expect(await headgate('limits', 'export', '-f', extending)).toMatchObject({
      code: 2,
      stdout: `${extending}:1:1  tiers  Expected this not to come from what the file extends, or from an alias: it cannot be changed here\n`,
    });
    expect(await readFile(extending, 'utf8')).toBe(text);
    const other = await fileOf('other.yaml', 'version: 1\nnamespace: other\n');
    expect(await headgate('limits', 'export', '-f', other)).toMatchObject({
      code: 2,
      stderr: `headgate: Expected --namespace to be left out, or other, as the manifest says, got "${namespace}"\n`,
    });
  });
});
