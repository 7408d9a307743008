import { createHash, createHmac, randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RateLimiter } from '../../lib/index.js';
import { message } from '../../local/upstream/bedrock.js';
import { testClient } from '../support/dynamodb.js';
import { NAMESPACE, slow } from './cold-start.js';
import { chatEvent, DeployedGateway, textOf } from './deployed-gateway.js';
import type { Arrived } from './hand-made-upstream.js';

const MODEL = 'eu.anthropic.claude-sonnet-4-5-20250929-v1:0';
const BODY = JSON.stringify({
  messages: [{ role: 'user', content: [{ text: 'Hello?!!' }] }],
  inferenceConfig: { maxTokens: 98 },
});

let gateway: DeployedGateway;

const bytesOf = (...messages: readonly (string | Uint8Array)[]): Buffer =>
  Buffer.concat(messages.map((each) => Buffer.from(each)));

beforeAll(async () => {
  gateway = await DeployedGateway.start('streaming', (baseUrl) => ({
    upstreams: { bedrock: { bedrockRegion: 'eu-west-1', baseUrl } },
  }));
});

beforeEach(() => gateway.upstream.reset());

afterAll(() => gateway.stop());

async function converse(
  modelId: string,
  headers: Readonly<Record<string, string>> = {},
  { operation = 'converse', entity = randomUUID() } = {},
) {
  await gateway.admin.setLimits({ entity, resource: 'openai' }, [slow('rpm', 9)]);
  await gateway.admin.setLimits({ entity, resource: MODEL }, [slow('rpm', 5), slow('tpm', 1_000)]);
  const path = `model/${modelId}/${operation}`;
  return gateway.invoke(
    chatEvent({
      authorizer: await gateway.admitted(entity),
      path: `/llm/bedrock/${path}`,
      pathParameters: { provider: 'bedrock', path },
      headers: { 'content-type': 'application/json', authorization: 'Bearer hg_secret', ...headers },
      body: BODY,
    }),
  );
}

describe('a call to Bedrock', () => {
  it.each([
    ['an id', encodeURIComponent(MODEL)],
    ['an ARN', encodeURIComponent(`arn:aws:bedrock:eu-west-1:123456789012:inference-profile/${MODEL}`)],
  ])('of a model by %s is signed with the role of the function, over what is sent', async (_what, modelId) => {
    const answer = await converse(modelId, { 'x-amzn-bedrock-trace': 'ENABLED' });
    expect(answer.status, textOf(answer)).toBe(200);
    const arrived = gateway.upstream.last;
    expect(arrived.url).toBe(`/model/${modelId}/converse`);
    expect(arrived.body.toString()).toBe(BODY);
    expect(arrived.headers['x-amzn-bedrock-trace']).toBe('ENABLED');
    expect(arrived.headers.authorization).toBe(signatureOf(arrived));
  });

  it('of a model whose id cannot be read is refused as Bedrock would, and not sent', async () => {
    const answer = await converse('a%zz');
    expect(answer.status).toBe(400);
    expect(answer.headers.get('x-amzn-errortype')).toBe('ValidationException');
    expect(JSON.parse(textOf(answer)).message).toBe('Expected the model id in the path to be percent-encoded UTF-8');
    expect(gateway.upstream.arrived).toEqual([]);
  });
});

describe('an answer of Bedrock', () => {
  const json = { 'content-type': 'application/json' };
  const events = { 'content-type': 'application/vnd.amazon.eventstream' };
  const said = { output: { message: { role: 'assistant', content: [{ text: 'Grüße' }] } }, stopReason: 'end_turn' };
  const usage = { inputTokens: 11, outputTokens: 22, totalTokens: 33 };
  const text = message('contentBlockDelta', { contentBlockIndex: 0, delta: { text: 'Grüße 🌍' } }).bytes;
  const metadata = message('metadata', { usage, metrics: { latencyMs: 1 } }).bytes;
  const counted = { ...json, 'x-amzn-bedrock-input-token-count': '11', 'x-amzn-bedrock-output-token-count': '22' };

  // 2 tokens of prompt and at most 98 of answer are 100 by estimate.
  it.each([
    { of: 'converse', that: 'states its usage', body: JSON.stringify({ ...said, usage }), left: 967 },
    { of: 'converse', that: 'states none', body: JSON.stringify(said), left: 900 },
    { of: 'invoke', that: 'states it in its headers', headers: counted, body: '{"text":"Hi"}', left: 967 },
    { of: 'invoke', that: 'states none', body: '{"text":"Hi"}', left: 900 },
    { of: 'converse', that: 'failed', status: 500, body: '{"message":"Internal"}', left: 1_000 },
    { of: 'converse-stream', that: 'states its usage', headers: events, body: bytesOf(text, metadata), left: 967 },
    { of: 'converse-stream', that: 'states none', headers: events, body: bytesOf(text), left: 900 },
    {
      of: 'converse-stream',
      that: 'ends in a message',
      headers: events,
      body: bytesOf(text, metadata).subarray(0, -1),
      left: 900,
    },
  ])(
    'to $of that $that passes byte for byte and leaves $left of 1,000 tokens',
    async ({ of, status = 200, headers, body, left }) => {
      gateway.upstream.answer = async (response) => {
        response.writeHead(status, headers ?? json);
        for (const byte of Buffer.from(body)) {
          response.write(Buffer.of(byte));
          await setImmediate();
        }
        response.end();
      };
      const entity = randomUUID();

      const answer = await converse(encodeURIComponent(MODEL), {}, { operation: of, entity });

      expect([answer.status, answer.bytes.toString('hex')]).toEqual([status, Buffer.from(body).toString('hex')]);
      const tableName = process.env.HEADGATE_TABLE ?? '';
      const limiter = new RateLimiter({ tableName, client: testClient(), namespace: NAMESPACE, deadlineMs: 30_000 });
      expect(await limiter.available({ entity, resource: MODEL })).toEqual({ rpm: 4, tpm: left });
    },
  );
});

/** Signature Version 4, step by step as AWS documents it, by the credentials of the tests. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html */
function signatureOf({ url, headers, body }: Arrived): string {
  const sha256 = (text: string | Buffer) => createHash('sha256').update(text).digest('hex');
  const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest();
  const date = String(headers['x-amz-date']);
  const signed = ['accept', 'content-type', 'host', 'x-amz-content-sha256', 'x-amz-date', 'x-amzn-bedrock-trace'];
  const canonical = [
    'POST',
    url.split('/').map(encodeURIComponent).join('/'),
    '',
    ...signed.map((name) => `${name}:${String(headers[name])}`),
    '',
    signed.join(';'),
    sha256(body),
  ].join('\n');
  const scope = `${date.slice(0, 8)}/eu-west-1/bedrock/aws4_request`;
  const key = ['eu-west-1', 'bedrock', 'aws4_request'].reduce(hmac, hmac('AWS4local', date.slice(0, 8)));
  const signature = hmac(key, ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n')).toString('hex');
  return `AWS4-HMAC-SHA256 Credential=local/${scope}, SignedHeaders=${signed.join(';')}, Signature=${signature}`;
}
