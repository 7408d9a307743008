import { createHash, createHmac } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { slow } from './cold-start.js';
import { chatEvent, DeployedGateway, textOf } from './deployed-gateway.js';
import type { Arrived } from './hand-made-upstream.js';

const MODEL = 'eu.anthropic.claude-sonnet-4-5-20250929-v1:0';
const BODY = JSON.stringify({
  messages: [{ role: 'user', content: [{ text: 'Hello?!!' }] }],
  inferenceConfig: { maxTokens: 98 },
});

let gateway: DeployedGateway;

beforeEach(async () => {
  gateway = await DeployedGateway.start('streaming', (baseUrl) => ({
    upstreams: { bedrock: { bedrockRegion: 'eu-west-1', baseUrl } },
  }));
});

afterEach(() => gateway.stop());

async function converse(modelId: string, headers: Readonly<Record<string, string>> = {}) {
  const entity = await gateway.limited();
  await gateway.admin.setLimits({ entity, resource: MODEL }, [slow('rpm', 5)]);
  const path = `model/${modelId}/converse`;
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
