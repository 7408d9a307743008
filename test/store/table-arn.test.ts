import { describe, expect, it } from 'vitest';
import { HeadgateAdmin } from '../../lib/admin.js';
import { Limit } from '../../lib/core/limit.js';
import { RateLimiter } from '../../lib/limiter.js';
import { createTestTable, testClient } from '../support/dynamodb.js';

describe('a table named by its ARN, as from another account,', () => {
  it('has the limits, entities and keys that are stored in it', async () => {
    const client = testClient();
    const name = await createTestTable();
    const admin = new HeadgateAdmin({ tableName: name, client });
    await admin.setLimits({ system: true }, [Limit.perMinute('rpm', 5)]);
    await admin.createEntity({ entity: 'acme' });

    const tableName = `arn:aws:dynamodb:us-east-1:000000000000:table/${name}`;
    const limiter = new RateLimiter({ deadlineMs: 30_000, tableName, client });
    await limiter.acquire({ entity: 'acme', resource: 'gpt-4o', consume: { rpm: 2 } });

    expect(await limiter.available({ entity: 'acme', resource: 'gpt-4o' })).toEqual({ rpm: 3 });
    expect(await new HeadgateAdmin({ tableName, client }).getEntity('acme')).toMatchObject({ entity: 'acme' });
  });
});
