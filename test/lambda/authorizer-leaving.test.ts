import { randomUUID } from 'node:crypto';
import type { APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { beforeAll, describe, expect, it } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import { coldStart, deployed } from './cold-start.js';
import { authorizerEvent, type Request } from './events.js';

describe('an authorizer that leaves it to the integration to acquire', () => {
  let admin: HeadgateAdmin;
  let handler: typeof import('../../lambda/authorizer.js').handler;
  let secret: string;
  const entity = randomUUID();

  beforeAll(async () => {
    admin = await deployed({ HEADGATE_ACQUIRED_BY: 'integration', HEADGATE_LEASE_KEY: '' });
    ({ handler } = await coldStart(() => import('../../lambda/authorizer.js')));
    ({ secret } = await admin.createKey({ entity }));
  });

  const call = (key: string, more: Request = {}): APIGatewayRequestAuthorizerEvent =>
    authorizerEvent({ pathParameters: { provider: 'openai', path: 'v1/models' }, headers: { 'x-api-key': key }, ...more });

  it('tells who calls and on what, and needs no limits, no lease key and no call of the database but for the key', async () => {
    const told = { principalId: entity, context: { entity, resource: 'openai' } };
    const first = await handler(call(secret));
    expect(first).toMatchObject(told);
    expect(Object.keys(first.context ?? {})).toEqual(['entity', 'resource']);
    const { compose } = await import('../../lambda/compose.js');
    const sent: object[] = [];
    const noting = (command: { readonly input: object }) => {
      sent.push(command.input);
      return command;
    };
    compose().client.middlewareStack.add((next) => async (command) => next(noting(command) as never), { step: 'initialize' });
    expect(await handler(call(secret))).toMatchObject(told);
    expect(sent).toEqual([]);
    // The calls that there are, are seen.
    await expect(handler(call('hg_another_key_of_nobody'))).rejects.toThrow('Unauthorized');
    expect(sent).toHaveLength(1);
  });

  it('answers a wrong key with 401', async () => {
    await expect(handler(call('hg_unknown_key'))).rejects.toEqual(new Error('Unauthorized'));
  });

  it('tells what names no resource as a decision, for the integration to answer with', async () => {
    const { context } = await handler(call(secret, { pathParameters: null }));
    expect(context).toMatchObject({ entity, decision: 'InvalidArgument', status: '400' });
    expect(context).not.toHaveProperty('resource');
  });
});
