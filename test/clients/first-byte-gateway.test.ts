import type { APIGatewayAuthorizerResult, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { lambdaContext, ResponseStream } from '../../local/lambda-runtime.js';
import { coldStart } from '../lambda/cold-start.js';
import { chatEvent, DeployedGateway } from '../lambda/deployed-gateway.js';
import { authorizerEvent } from '../lambda/events.js';
import { dueAtOnce } from './acknowledged-body.js';
import { HeldDatabase } from './held-database.js';
import { asking, digest, joined, SENT_CHAT_STREAMS, STREAM_TYPE } from './sent-answers.js';

/** Those that are settled by a usage: without one there is nothing to write at the end. */
const SETTLED = SENT_CHAT_STREAMS.filter(({ pieces }) => Buffer.from(joined(pieces)).includes('"total_tokens"'));

type Authorize = (event: APIGatewayRequestAuthorizerEvent) => Promise<APIGatewayAuthorizerResult>;
type Context = Record<string, string>;

let database: HeldDatabase;
let gateway: DeployedGateway;
/** As in the stack, and one that acquires the provider's limits itself. */
let authorize: Record<'leaving' | 'acquiring', Authorize>;
let entity: string;
let headers: Record<string, string>;

beforeAll(async () => {
  database = await HeldDatabase.start();
  gateway = await DeployedGateway.start('streaming', () => ({ environment: { AWS_ENDPOINT_URL_DYNAMODB: database.url } }));
  const authorizer = async (acquiredBy: string): Promise<Authorize> => {
    const { handler } = await coldStart(() => import('../../lambda/authorizer.js'), { HEADGATE_ACQUIRED_BY: acquiredBy });
    // The environment is read at the first call.
    await handler(authorizerEvent()).catch(() => {});
    return handler;
  };
  authorize = { leaving: await authorizer('integration'), acquiring: await authorizer('authorizer') };
  entity = await gateway.limited({ model: [Limit.perHour('tph', 1_000_000)], provider: [Limit.perHour('rph', 1_000)] });
  headers = { authorization: `Bearer ${(await gateway.admin.createKey({ entity })).secret}` };
});

afterEach(() => {
  database.passAll();
  gateway.upstream.reset();
});

afterAll(async () => {
  await gateway.stop();
  await database.stop();
});

const ASKED = asking({ stream: true, stream_options: { include_usage: true } });

/** What the authorizer puts into the context of a call, and what it asked the database for it. */
async function authorized(
  by: keyof typeof authorize = 'leaving',
): Promise<{ readonly context: Context; readonly asked: readonly string[] }> {
  const { authorizer: _, ...route } = chatEvent({ headers }).requestContext;
  const { resource, path, pathParameters } = chatEvent({ headers });
  database.take();
  const event = authorizerEvent({ method: route.httpMethod, resource, path, pathParameters: pathParameters as Context, headers });
  const { context } = await authorize[by](event);
  return { context: context as Context, asked: database.take() };
}

/** What the gateway asked the database before it asked the provider. */
async function askedBefore(context: Context): Promise<readonly string[]> {
  gateway.upstream.answer = (response) => {
    database.note('the provider');
    response.end('{}');
  };
  database.take();
  expect((await gateway.invoke(chatEvent({ authorizer: context, body: ASKED }))).status).toBe(200);
  const order = database.take();
  return order.slice(0, order.indexOf('the provider'));
}

describe('the first byte of an answer through the gateway', () => {
  it('waits for both writes of the gateway at the same time, and for nothing in the authorizer but the key of a cold start', async () => {
    const cold = await authorized();
    expect(cold.asked).toEqual(['BatchGetItem']);
    expect(await askedBefore(cold.context)).toEqual(['BatchGetItem', 'BatchGetItem', 'UpdateItem', 'UpdateItem']);

    const warm = await authorized();
    expect(warm.asked).toEqual([]);
    expect(await askedBefore(warm.context)).toEqual(['UpdateItem', 'UpdateItem']);

    // Neither is answered, and yet both were asked.
    database.pass(0);
    gateway.upstream.reset();
    const call = gateway.invoke(chatEvent({ authorizer: warm.context, body: ASKED }));
    await vi.waitFor(() => expect(database.held).toHaveLength(2));
    expect(gateway.upstream.arrived).toEqual([]);
    database.passAll();
    expect((await call).status).toBe(200);
  });

  it('waits for one call more where the authorizer acquires', async () => {
    await authorized('acquiring');
    const { context, asked } = await authorized('acquiring');
    expect(context).toHaveProperty('lease');
    expect(asked).toEqual(['UpdateItem']);
    expect(await askedBefore(context)).toEqual(['UpdateItem']);
  });

  it.each(SETTLED)('and all bytes after it wait for none, of $name', async ({ pieces }) => {
    const { context } = await authorized();
    await askedBefore({ entity });
    // What it acquires on the model and on the provider.
    database.pass(2);
    const body = dueAtOnce(pieces);
    gateway.upstream.answer = async (response) => {
      response.writeHead(200, { 'content-type': STREAM_TYPE });
      response.flushHeaders();
      await body.sendTo(response);
      response.end();
    };
    const chunks: Buffer[] = [];
    const stream = new ResponseStream({
      head: () => {},
      chunk: async (bytes) => {
        chunks.push(bytes);
        body.acknowledge(bytes.length);
      },
    });
    const returned = vi.fn();
    const call = gateway.handler(
      chatEvent({ authorizer: context, body: ASKED }),
      stream,
      lambdaContext('gateway', 'test', 60_000),
    );
    void call.then(returned);
    await vi.waitFor(() => expect(database.held.length).toBeGreaterThan(0));
    expect(digest(Buffer.concat(chunks))).toBe(digest(joined(pieces)));
    expect(returned).not.toHaveBeenCalled();
    database.passAll();
    await call;
  });
});
