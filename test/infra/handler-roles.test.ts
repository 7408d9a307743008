import type { APIGatewayRequestAuthorizerEvent, DynamoDBStreamEvent } from 'aws-lambda';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { Limit } from '../../lib/index.js';
import { coldStart, deployed, NAMESPACE } from '../lambda/cold-start.js';
import { answered, posting, statusOf, usageOf } from '../lambda/deployed-api.js';
import { authorizerEvent, type Request } from '../lambda/events.js';
import { EventStub } from '../support/event-stub.js';
import { bucketKey, RecordedBuckets } from '../usage/recorded-buckets.js';
import { allows, type NeededPermission, recordPermissions } from './recorded-calls.js';
import { type Statement, stackTemplate, statementsOf } from './stack-template.js';

/** The stack, and one whose authorizer acquires. */
const template = stackTemplate({ namespace: NAMESPACE, budgetAlerts: {} });
const authorizerAcquires = stackTemplate({ namespace: NAMESPACE, access: { acquiredBy: 'authorizer' } });
const stub = new EventStub();
const needed: Record<'api' | 'authorizer' | 'acquiringAuthorizer' | 'aggregator', NeededPermission[]> = {
  api: [],
  authorizer: [],
  acquiringAuthorizer: [],
  aggregator: [],
};

/** A handler as a cold start loads it, what it sends from then on noted. `more`: what its environment has besides. */
async function recorded<Module>(
  role: keyof typeof needed,
  load: () => Promise<Module>,
  more: Readonly<Record<string, string>> = {},
): Promise<Module> {
  const module = await coldStart(load, more);
  const { compose } = await import('../../lambda/compose.js');
  needed[role] = recordPermissions(compose().client);
  return module;
}

beforeAll(async () => {
  vi.stubEnv('AWS_ENDPOINT_URL_EVENTBRIDGE', await stub.start());
  const admin = await deployed({ HEADGATE_BUDGET_ALERTS: JSON.stringify({ eventBus: 'default' }) });
  await admin.setLimits({ system: true }, [Limit.perMinute('rpm', 9), Limit.quota('usd', 1_000, { per: 'month' })]);
  const { secret } = await admin.createKey({ entity: 'acme' });

  const api = await recorded('api', () => import('../../lambda/api.js'));
  const ask = (request: Request) => answered(api.handler, request);
  const acquired = await ask(posting('/v1/acquire', { entity: 'acme', resource: 'gpt-4', consume: { rpm: 1 } }));
  await ask(posting('/v1/adjust', { lease: acquired.body.lease, actual: { rpm: 1 } }));
  await ask(statusOf('acme', 'gpt-4'));
  await ask(usageOf('acme'));
  const of = (resource: string, pathParameters: Record<string, string>, method: string, body?: object): Request => ({
    method,
    resource,
    path: resource,
    pathParameters,
    ...(body && { body: JSON.stringify(body) }),
  });
  const limits = [{ name: 'rpm', capacity: 5, refillAmount: 5, refillPeriodMs: 60_000 }];
  await ask(of('/v1/limits/resources/{resource}', { resource: 'o3' }, 'PUT', { limits }));
  await ask(of('/v1/entities/{entity}', { entity: 'team' }, 'PUT', {}));
  await ask(of('/v1/keys/{entity}', { entity: 'team' }, 'POST', {}));
  await ask(of('/v1/entities/{entity}', { entity: 'team' }, 'DELETE'));
  await ask({ resource: '/v1/audit', path: '/v1/audit' });

  const call = (): APIGatewayRequestAuthorizerEvent =>
    authorizerEvent({
      method: 'POST',
      resource: '/llm/{provider}/{path+}',
      path: '/llm/openai/v1/chat/completions',
      pathParameters: { provider: 'openai', path: 'v1/chat/completions' },
      headers: { 'x-api-key': secret },
    });
  for (const [role, acquiredBy] of [
    ['acquiringAuthorizer', 'authorizer'],
    ['authorizer', 'integration'],
  ] as const) {
    const authorizer = await recorded(role, () => import('../../lambda/authorizer.js'), { HEADGATE_ACQUIRED_BY: acquiredBy });
    await authorizer.handler(call());
  }

  const aggregator = await recorded('aggregator', () => import('../../lambda/aggregator.js'));
  const record = new RecordedBuckets().write(bucketKey({ namespace: NAMESPACE, entity: 'acme' }), {
    at: '2026-11-22T13:00:00Z',
    consumed: { usd: 700 },
    requests: 1,
  });
  const month = BigInt(Date.parse('2026-11-01T00:00:00Z')) * 1_000_000_000_000n;
  const NewImage = { ...record.dynamodb?.NewImage, s_usd: { N: String(month) }, q_usd: { N: '700' } };
  const event = { Records: [{ ...record, dynamodb: { ...record.dynamodb, NewImage } }] } as DynamoDBStreamEvent;
  expect(await aggregator.handler(event)).toEqual({ batchItemFailures: [] });
  expect(stub.events).toHaveLength(1);
});

afterAll(() => stub.stop());

const onTable = (statements: readonly Statement[]) => statements.filter(({ Condition }) => Condition !== undefined);

it.each([
  { role: 'api', sends: 'much', least: 3, statements: statementsOf(template, 'api') },
  { role: 'aggregator', sends: 'much', least: 3, statements: statementsOf(template, 'aggregator') },
  { role: 'authorizer', sends: 'a reading of keys', least: 1, statements: statementsOf(template, 'authorizer') },
  { role: 'acquiringAuthorizer', sends: 'more', least: 3, statements: statementsOf(authorizerAcquires, 'authorizer') },
] as const)('the role of $role suffices for what it really sent: $sends', ({ role, least, statements }) => {
  expect(needed[role].length).toBeGreaterThanOrEqual(least);
  expect(needed[role].filter((permission) => !allows(onTable(statements), permission))).toEqual([]);
});

it('the role of the aggregator may do nothing with items that it did not do', () => {
  const granted = new Set(onTable(statementsOf(template, 'aggregator')).flatMap(({ Action }) => Action));
  const done = new Set(needed.aggregator.map(({ action }) => `dynamodb:${action}`));
  expect([...granted].filter((action) => !done.has(action))).toEqual([]);
});
