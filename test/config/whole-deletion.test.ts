import { type DynamoDBClient, ScanCommand } from '@aws-sdk/client-dynamodb';
import { beforeEach, describe, expect, it } from 'vitest';
import { HeadgateAdmin } from '../../lib/admin.js';
import { Limit } from '../../lib/core/limit.js';
import { EntityHasChildren } from '../../lib/errors.js';
import { RateLimiter } from '../../lib/limiter.js';
import { createStreamedTable, testClient } from '../support/dynamodb.js';
import { countUsage } from '../usage/count-usage.js';

const rph = [Limit.perHour('rph', 10)];
const on = { entity: 'team', resource: 'gpt-4o' };

/** What docs/entities.md says of a deletion, on a table where nothing else is. */
describe('an entity with a parent, a child, keys, live buckets and usage', () => {
  let client: DynamoDBClient;
  let tableName: string;
  let admin: HeadgateAdmin;
  let limiter: RateLimiter;

  beforeEach(async () => {
    client = testClient();
    tableName = await createStreamedTable(client);
    admin = new HeadgateAdmin({ client, tableName, actor: 'ada' });
    limiter = new RateLimiter({ client, tableName, cacheTtlMs: 0, deadlineMs: 30_000 });
    await admin.setLimits({ system: true }, [Limit.perHour('rph', 100)]);
    await admin.createEntity({ entity: 'org' });
    await admin.createEntity({ entity: 'team', parent: 'org' });
    await admin.createEntity({ entity: 'user', parent: 'team' });
    await admin.setLimits({ entity: 'team' }, rph);
    await admin.setLimits({ entity: 'team', resource: 'gpt-4o' }, rph);
    await admin.createKey({ entity: 'team' });
    await admin.createKey({ entity: 'user' });
    await limiter.acquire({ entity: 'user', resource: 'gpt-4o', consume: { rph: 7 } });
    await countUsage(tableName);
  });

  /** The keys of all items, sorted; what comes and goes by itself in each name is masked. */
  async function items(): Promise<string[]> {
    const { Items = [] } = await client.send(new ScanCommand({ TableName: tableName, ConsistentRead: true }));
    return Items.map(({ pk, sk }) => `${pk?.S} ${sk?.S}`).sort();
  }
  const naming = (all: readonly string[], ...names: readonly string[]) =>
    all.filter((item) => names.some((name) => item.includes(`#${name}`) || item.endsWith(` ${name}`)));

  it('is refused as long as the child is there, and not an item changes', async () => {
    const before = await items();
    await expect(admin.deleteEntity('team')).rejects.toThrow(EntityHasChildren);
    expect(await items()).toEqual(before);
  });

  it('goes with the child, all keys and limits; its buckets and what it consumed stay, and so does the history', async () => {
    const before = await items();
    await admin.deleteEntity('team', { recursive: true });
    const after = await items();

    const gone = before.filter((item) => !after.includes(item));
    expect(gone.map((item) => item.replace(/[0-9a-f]{18,64}/, '…').replace(/#dir#\d+/, '#dir'))).toEqual(
      [
        'default#dir team',
        'default#dir user',
        'default#e#org child#team',
        'default#e#team child#user',
        'default#e#team key#…',
        'default#e#team limits',
        'default#e#team limits#gpt-4o',
        'default#e#team meta',
        'default#e#user key#…',
        'default#e#user meta',
        'default#key#… key',
        'default#key#… key',
      ].sort(),
    );
    // What is left of them: a bucket each, usage by hour, day and month in three views, and records of the history.
    const left = naming(after, 'team', 'user').map((item) => item.replace(/#20\d\d-[^#]*/, '#…'));
    expect(left.filter((item) => item.startsWith('default#ns#') || item.startsWith('default#r#'))).toHaveLength(12);
    expect(left.filter((item) => !item.startsWith('default#ns#') && !item.startsWith('default#r#'))).toEqual([
      'default#b#gpt-4o#team#0 b',
      'default#b#gpt-4o#user#0 b',
      'default#e#team usage#day#…#gpt-4o#team#0',
      'default#e#team usage#hour#…#gpt-4o#team#0',
      'default#e#team usage#month#…#gpt-4o#team#0',
      'default#e#user usage#day#…#gpt-4o#user#0',
      'default#e#user usage#hour#…#gpt-4o#user#0',
      'default#e#user usage#month#…#gpt-4o#user#0',
    ]);

    const { rows } = await admin.usage({ ...on, from: new Date(Date.now() - 86_400_000) });
    expect(rows).toMatchObject([{ resource: 'gpt-4o', consumed: { rph: 7 }, requests: 1 }]);
    const deletions = (await admin.audit()).filter(({ action }) => action.endsWith('.delete'));
    const key = (entity: string) => ({ entity, keyId: expect.stringMatching(/^[0-9a-f]{18}$/) });
    expect(deletions.map(({ action, actor, target }) => [actor, action, target])).toEqual([
      ['ada', 'entity.delete', { entity: 'team' }],
      ['ada', 'limits.delete', { entity: 'team', resource: 'gpt-4o' }],
      ['ada', 'limits.delete', { entity: 'team' }],
      ['ada', 'key.delete', key('team')],
      ['ada', 'entity.delete', { entity: 'user' }],
      ['ada', 'key.delete', key('user')],
    ]);
    expect((await admin.audit({ entity: 'user' })).map(({ action }) => action)).toEqual([
      'entity.delete',
      'key.delete',
      'key.create',
      'entity.create',
    ]);
  });

  it('made anew under its name owes what it owed, and has neither its keys nor its limits', async () => {
    await admin.deleteEntity('team', { recursive: true });
    await admin.createEntity({ entity: 'team' });

    expect(await admin.keys('team')).toEqual([]);
    // A tenth of the system's limit is what seven of ten were: the share in use stays.
    expect((await limiter.available(on)).rph).toBe(30);
    await admin.setLimits({ entity: 'team' }, rph);
    expect((await limiter.tryAcquire({ ...on, consume: { rph: 7 } })).granted).toBe(false);
  });
});
