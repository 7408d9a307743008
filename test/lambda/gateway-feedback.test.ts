import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { RateLimiter } from '../../lib/limiter.js';
import { testClient } from '../support/dynamodb.js';
import { NAMESPACE, slow } from './cold-start.js';
import { DeployedGateway } from './deployed-gateway.js';
import { USAGE } from './hand-made-upstream.js';

const ACCOUNT = `account-${randomUUID()}`;

let gateway: DeployedGateway;

beforeEach(async () => {
  gateway = await DeployedGateway.start('buffered', (baseUrl) => ({ upstreams: { openai: { baseUrl, feedback: ACCOUNT } } }));
});

afterEach(() => gateway.stop());

const answering = (headers: Readonly<Record<string, string>>) => {
  gateway.upstream.answer = (response) => {
    response.writeHead(200, { 'Content-Type': 'application/json', ...headers });
    response.end(JSON.stringify({ usage: USAGE }));
  };
};

it('the limits that stand for an account at a provider follow what it says is left, and the caller is told its own', async () => {
  await gateway.admin.createEntity({ entity: ACCOUNT });
  const entity = `caller-${randomUUID()}`;
  await gateway.admin.createEntity({ entity, parent: ACCOUNT });
  await gateway.admin.setLimits({ entity, resource: 'gpt-4' }, [slow('tpm', 1_000)]);
  await gateway.admin.setLimits({ entity, resource: 'openai' }, [slow('rpm', 9)]);
  await gateway.admin.setLimits({ entity: ACCOUNT, resource: 'gpt-4' }, [slow('tpm', 50_000)]);
  await gateway.admin.setLimits({ entity: ACCOUNT, resource: 'openai' }, [slow('rpm', 900)]);
  const limiter = new RateLimiter({
    tableName: process.env.HEADGATE_TABLE!,
    client: testClient(),
    namespace: NAMESPACE,
    deadlineMs: 20_000,
  });
  const left = async (of: string) => (await limiter.available({ entity: of, resource: 'gpt-4' })).tpm;

  answering({});
  await gateway.call({ entity });
  // 33 tokens were used.
  expect([await left(ACCOUNT), await left(entity)]).toEqual([49_967, 967]);

  answering({ 'x-ratelimit-limit-tokens': '50000', 'x-ratelimit-remaining-tokens': '700' });
  const answer = await gateway.call({ entity });
  expect(answer.headers.get('x-ratelimit-limit-tokens')).toBe('1000');
  // Somebody else has the rest. The provider rounds down, so there may be almost one more. What the caller has is the smallest of the levels.
  const leftNow = await left(ACCOUNT);
  expect([700, 701]).toContain(leftNow);
  expect(await left(entity)).toBe(leftNow);
});

it('that has no such limits is told once, and calls go on', async () => {
  const told = vi.spyOn(console, 'warn').mockImplementation(() => {});
  const entity = await gateway.limited();
  answering({ 'x-ratelimit-remaining-tokens': '7' });
  expect((await gateway.call({ entity })).status).toBe(200);
  expect((await gateway.call({ entity })).status).toBe(200);
  expect(told.mock.calls.flat().filter((text) => String(text).includes(ACCOUNT))).toHaveLength(1);
  expect((await gateway.left(entity)).model).toEqual({ rpm: 3, tpm: 934 });
});
