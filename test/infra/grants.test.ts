import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { beforeAll, describe, expect, it } from 'vitest';
import { HeadgateTable, type IHeadgateTable } from '../../infra/index.js';
import { HeadgateAdmin, Limit, RateLimiter } from '../../lib/index.js';
import { createTestTable, testClient } from '../support/dynamodb.js';
import { allows, type NeededPermission, recordPermissions } from './recorded-calls.js';
import { resourcesOf, type Statement } from './stack-template.js';

const NAMESPACE = 'acme';

/** What a role is allowed by one grant. */
function granted(grant: (table: IHeadgateTable, role: Role) => unknown, imported = false): Statement[] {
  const stack = new Stack(new App(), 'Tables');
  const table = imported
    ? HeadgateTable.fromTableArn(stack, 'Table', 'arn:aws:dynamodb:eu-central-1:111122223333:table/headgate')
    : new HeadgateTable(stack, 'Table');
  grant(table, new Role(stack, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') }));
  return resourcesOf(Template.fromStack(stack), 'AWS::IAM::Policy')
    .flatMap((policy) => policy.Properties.PolicyDocument.Statement)
    .map((statement) => ({ ...statement, Action: [statement.Action].flat(), Resource: [statement.Resource].flat() }));
}

const acquiring = granted((table, role) => table.grantAcquire(role, { namespace: NAMESPACE }));
const administering = granted((table, role) => table.grantAdmin(role, { namespace: NAMESPACE }));
const readingUsage = granted((table, role) => table.grantReadUsage(role, { namespace: NAMESPACE }));

const actionsOf = (statements: readonly Statement[]) => [...new Set(statements.flatMap(({ Action }) => Action))].sort();
const actionsIn = (needed: readonly NeededPermission[]) => [...new Set(needed.map(({ action }) => `dynamodb:${action}`))].sort();
const refusedOf = (statements: readonly Statement[], needed: readonly NeededPermission[]) =>
  needed.filter((permission) => !allows(statements, permission));

/** What the code really sent, by what it did. */
const sent = { acquire: [] as NeededPermission[], admin: [] as NeededPermission[], usage: [] as NeededPermission[] };

beforeAll(async () => {
  const tableName = await createTestTable();
  const clientFor = (kind: keyof typeof sent) => {
    const client = testClient();
    sent[kind] = recordPermissions(client);
    return client;
  };
  const admin = new HeadgateAdmin({ tableName, client: clientFor('admin'), namespace: NAMESPACE });
  await admin.setLimits({ tier: 'pro' }, [Limit.perMinute('rpm', 2), Limit.concurrent('inflight', 2, { leaseMs: 60_000 })]);
  await admin.createEntity({ entity: 'org', tier: 'pro' });
  await admin.createEntity({ entity: 'key', parent: 'org', cascade: true, tier: 'pro' });
  await admin.updateEntity({ entity: 'key', name: 'A key' });
  await admin.createEntity({ entity: 'top' });
  await admin.createEntity({ entity: 'another', parent: 'top' });
  await admin.createEntity({ entity: 'leaf', parent: 'key' });
  await admin.updateEntity({ entity: 'key', parent: 'another' });
  const { keyId } = await admin.createKey({ entity: 'key' });
  await admin.rotateKey({ entity: 'key', keyId });
  await admin.revokeKey({ entity: 'key', keyId });
  await admin.explain({ entity: 'key', resource: 'gpt-4o' });

  const limiter = new RateLimiter({ deadlineMs: 30_000, tableName, client: clientFor('acquire'), namespace: NAMESPACE });
  const request = { entity: 'key', resource: 'gpt-4o', consume: { rpm: 1, inflight: 1 } };
  const first = await limiter.acquire(request);
  await first.settle({ rpm: 1 });
  await first.release();
  await (await limiter.acquire(request)).end();
  await (await limiter.acquire(request)).end();
  expect((await limiter.tryAcquire(request)).granted).toBe(false);
  await limiter.reserve({ ...request, consume: { rpm: 1 }, maxWaitMs: 60_000 });
  await limiter.available({ entity: 'key', resource: 'gpt-4o' });
  await limiter.status({ entity: 'key', resource: 'gpt-4o' });

  await admin.reset({ entity: 'key', resource: 'gpt-4o' });
  await admin.entities();
  await admin.children('org');
  await admin.audit({});
  await admin.deleteLimits({ tier: 'pro' });
  await admin.deleteEntity('key', { recursive: true });

  const reader = new HeadgateAdmin({ tableName, client: clientFor('usage'), namespace: NAMESPACE });
  await reader.usage({ entity: 'key', by: 'day' });
  await reader.topConsumers({ by: 'day' });
  await reader.topConsumers({ resource: 'gpt-4o', by: 'day' });
});

describe('a grant', () => {
  it('to acquire suffices for first, warm, denied, settled, cascaded and queued requests, and has no action beyond those that they send', () => {
    expect(sent.acquire.length).toBeGreaterThan(10);
    expect(refusedOf(acquiring, sent.acquire)).toEqual([]);
    expect(actionsOf(acquiring)).toEqual(actionsIn(sent.acquire));
  });

  it('to administer suffices for limits, entities, keys, history and operators’ acts, and has no action beyond those', () => {
    expect(refusedOf(administering, sent.admin)).toEqual([]);
    expect(actionsOf(administering)).toEqual(actionsIn([...sent.admin, ...sent.acquire]));
  });

  it('to read usage suffices for an entity, a resource and the whole namespace, and for nothing that writes', () => {
    expect(new Set(sent.usage.map(({ pk }) => pk.split('#')[1]))).toEqual(new Set(['e', 'r', 'ns']));
    expect(refusedOf(readingUsage, sent.usage)).toEqual([]);
    expect(actionsOf(readingUsage)).toEqual(['dynamodb:Query']);
    expect(
      refusedOf(
        readingUsage,
        sent.admin.filter(({ action }) => action !== 'Query'),
      ),
    ).toHaveLength(sent.admin.filter(({ action }) => action !== 'Query').length);
  });

  it('to acquire does not suffice to change a limit, an entity or a key', () => {
    const changes = sent.admin.filter(({ action }) => action === 'PutItem' || action === 'DeleteItem');
    expect(changes.length).toBeGreaterThan(5);
    expect(refusedOf(acquiring, changes)).toEqual(changes);
  });

  it.each([
    { namespace: 'acme', others: ['acm', 'acme2', 'acmeX#b', 'b', ''] },
    { namespace: '*', others: ['acme', 'b', ''] },
    { namespace: 'a?c', others: ['abc', 'a', ''] },
    { namespace: 'a$c', others: ['abc', ''] },
    { namespace: 'a.c', others: ['abc', ''] },
  ])('for $namespace opens neither other tenants’ items nor the shared ones', ({ namespace, others }) => {
    for (const grant of ['grantAcquire', 'grantAdmin', 'grantReadUsage'] as const) {
      const statements = granted((table, role) => table[grant](role, { namespace }));
      const keys = (of: string) =>
        ['#config', '#e#key', '#b#gpt-4o#key#0', '#key#abc', '#r#gpt-4o#3', '#ns#1', '#audit#2027-01'].map((rest) => of + rest);
      const actions = actionsOf(statements).map((action) => action.replace('dynamodb:', '') as NeededPermission['action']);
      const reach = (pks: readonly string[]) => pks.filter((pk) => actions.some((action) => allows(statements, { action, pk })));
      expect(reach(keys(namespace)).length).toBeGreaterThan(0);
      expect(reach([...others.flatMap(keys), '#namespaces', `#${namespace}`])).toEqual([]);
    }
  });

  it('on a table of another stack is the same', () => {
    const imported = granted((table, role) => table.grantAcquire(role, { namespace: NAMESPACE }), true);
    const arn = 'arn:aws:dynamodb:eu-central-1:111122223333:table/headgate';
    expect(imported).toEqual(acquiring.map((statement) => ({ ...statement, Resource: [arn] })));
  });
});
