import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { APIGatewayProxyEvent } from 'aws-lambda';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ApiGateway, serveApi } from '../../local/api-gateway.js';

let served: ApiGateway;
let events: APIGatewayProxyEvent[];

beforeEach(async () => {
  events = [];
  const see = async (event: APIGatewayProxyEvent) => {
    events.push(event);
    return { statusCode: 200, body: '' };
  };
  const Statement = [{ Action: 'execute-api:Invoke', Effect: 'Allow', Resource: '*' }];
  const authorizer = async () => ({ principalId: 'x', policyDocument: { Version: '2012-10-17', Statement } });
  served = await serveApi({ authorizer, api: see, gateway: see }, 0);
});

afterEach(async () => {
  await served.stop();
});

async function eventOf(path: string, init: RequestInit = {}): Promise<APIGatewayProxyEvent | undefined> {
  await fetch(served.url + path, init);
  return events.at(-1);
}

/** A request whose headers leave as they are written here: `fetch` joins those of one name. */
function get(url: string, headers: Record<string, string | string[]>): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    httpRequest(url, { headers }, (response) => resolve(response.resume()))
      .on('error', reject)
      .end();
  });
}

describe('the event of a function', () => {
  it.each([
    {
      when: 'an id holds a slash and a percent sign',
      path: '/v1/status/team%2Fa/100%25',
      resource: '/v1/status/{entity}/{resource}',
      pathParameters: { entity: 'team%2Fa', resource: '100%25' },
    },
    {
      when: 'an id is not ASCII',
      path: '/v1/usage/Z%C3%BCrich',
      resource: '/v1/usage/{entity}',
      pathParameters: { entity: 'Z%C3%BCrich' },
    },
    {
      when: 'the last parameter takes the rest of the path',
      path: '/llm/openai/v1/models/ft%3Agpt',
      resource: '/llm/{provider}/{path+}',
      pathParameters: { provider: 'openai', path: 'v1/models/ft%3Agpt' },
    },
  ])('has the path and its parameters as the client wrote them when $when', async ({ path, resource, pathParameters }) => {
    expect(await eventOf(path)).toMatchObject({ path, resource, pathParameters, httpMethod: 'GET' });
  });

  it('has no path parameters and no query where there are none', async () => {
    expect(await eventOf('/v1/acquire', { method: 'POST', body: '{}' })).toMatchObject({
      pathParameters: null,
      queryStringParameters: null,
      multiValueQueryStringParameters: null,
      stageVariables: null,
    });
  });

  it('has the query decoded, the last value and all values of a name', async () => {
    expect(await eventOf('/v1/usage/a?by=day&tag=a%2Fb&tag=c%20d&flag')).toMatchObject({
      queryStringParameters: { by: 'day', tag: 'c d', flag: '' },
      multiValueQueryStringParameters: { by: ['day'], tag: ['a/b', 'c d'], flag: [''] },
    });
  });

  it('has the last value and all values of a header, under the name as it was written', async () => {
    await get(`${served.url}/v1/usage/a`, { 'X-Twice': ['first', 'second'], 'X-Once': 'only' });
    const [seen] = events;
    expect(seen?.headers).toMatchObject({ 'X-Twice': 'second', 'X-Once': 'only' });
    expect(seen?.multiValueHeaders).toMatchObject({ 'X-Twice': ['first', 'second'], 'X-Once': ['only'] });
  });

  it.each([
    { when: 'it is text', sent: '{"a":"é"}', body: '{"a":"é"}', isBase64Encoded: false },
    { when: 'it is no UTF-8', sent: new Uint8Array([0xff, 0x00, 0xfe]), body: '/wD+', isBase64Encoded: true },
    { when: 'it is empty', sent: '', body: null, isBase64Encoded: false },
  ])('has the body when $when', async ({ sent, body, isBase64Encoded }) => {
    const event = await eventOf('/v1/acquire', { method: 'POST', body: sent });
    expect(event).toMatchObject({ body, isBase64Encoded });
  });

  it('has a context with the caller’s address, the stage, and an id of the request of its own', async () => {
    await eventOf('/v1/usage/a', { headers: { 'user-agent': 'test' } });
    await eventOf('/v1/usage/a');
    const contexts = events.map(({ requestContext }) => requestContext);
    expect(contexts[0]).toMatchObject({
      stage: 'local',
      path: '/local/v1/usage/a',
      resourcePath: '/v1/usage/{entity}',
      httpMethod: 'GET',
      protocol: 'HTTP/1.1',
      identity: { sourceIp: '127.0.0.1', userAgent: 'test' },
      authorizer: null,
    });
    expect(contexts[0]?.requestId).not.toBe(contexts[1]?.requestId);
  });
});
