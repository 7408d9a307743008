import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { lambdaContext, type Metadata, ResponseStream } from '../../local/lambda-runtime.js';
import { chatEvent, DeployedGateway, forms } from '../lambda/deployed-gateway.js';
import { AcknowledgedBody } from './acknowledged-body.js';
import {
  ASKED,
  asking,
  bytesOf,
  CHAT_PATH,
  digest,
  HAND_MADE,
  isUsageAlone,
  joined,
  MODEL,
  ODD,
  RECORDED,
  SENT_CHAT_STREAMS,
  STREAM_TYPE,
} from './sent-answers.js';

const STREAMS = asking({ stream: true });
const STREAMS_WITH_USAGE = asking({ stream: true, stream_options: { include_usage: true } });

/** The last of each shape that is recorded: how all others are read their own tests tell. */
const ONE_OF_EACH = [...new Map(RECORDED.map((sent) => [sent.path + sent.type, sent])).values()];

/** Sent as they are acknowledged, which needs a function that streams. */
const PACED = [
  ...[...ONE_OF_EACH, ...HAND_MADE].map((sent) => ({ ...sent, asked: STREAMS_WITH_USAGE })),
  ...SENT_CHAT_STREAMS.map((sent) => ({ ...sent, asked: STREAMS_WITH_USAGE })),
  ...SENT_CHAT_STREAMS.map((sent) => ({ ...sent, name: `${sent.name}, its usage left out`, asked: STREAMS })),
];

describe.each(forms)('the bytes of an answer through the gateway, %s', (form) => {
  let gateway: DeployedGateway;
  let entity: string;

  beforeAll(async () => {
    gateway = await DeployedGateway.start(form);
    entity = await gateway.limited({ model: [Limit.perHour('tph', 1_000_000_000)] });
  });

  afterEach(() => gateway.upstream.reset());

  afterAll(() => gateway.stop());

  const eventOf = (path: string, body: string) => {
    const [pathname = '', search = ''] = path.split('?');
    return chatEvent({
      authorizer: { entity, principalId: entity },
      pathParameters: { provider: 'openai', path: pathname },
      path: `/llm/openai/${pathname}`,
      query: Object.fromEntries(new URLSearchParams(search)),
      body,
    });
  };

  const answering = (send: (response: ServerResponse) => unknown, type: string, headers: Record<string, string> = {}) => {
    gateway.upstream.answer = async (response) => {
      response.writeHead(200, { 'content-type': type, ...headers });
      response.flushHeaders();
      await send(response);
      response.end();
    };
  };

  it.each(form === 'streaming' ? [] : [...ONE_OF_EACH, ...HAND_MADE])(
    'are those sent, of $name',
    async ({ path, type, pieces }) => {
      answering((response) => pieces.map((piece) => response.write(piece)), type);
      const { status, headers, bytes } = await gateway.invoke(eventOf(path, STREAMS_WITH_USAGE));
      expect([status, headers.get('content-type')]).toEqual([200, type]);
      expect(digest(bytes)).toBe(digest(joined(pieces)));
    },
  );

  it.each(SENT_CHAT_STREAMS)('are those sent but for a usage nobody asked for, of $name', async ({ path, pieces }) => {
    answering((response) => pieces.map((piece) => response.write(piece)), STREAM_TYPE);
    const { bytes } = await gateway.invoke(eventOf(path, STREAMS));
    expect(digest(bytes)).toBe(digest(joined(pieces.filter((event) => !isUsageAlone(event)))));
  });

  it('are those that were compressed, when the provider compresses although nobody asked for it', async () => {
    const pieces = RECORDED.flatMap((sent) => (sent.type === STREAM_TYPE ? sent.pieces : []));
    answering((response) => response.write(gzipSync(joined(pieces))), STREAM_TYPE, { 'content-encoding': 'gzip' });
    const { headers, bytes } = await gateway.invoke(eventOf(CHAT_PATH, STREAMS_WITH_USAGE));
    expect(headers.get('content-encoding')).toBeNull();
    expect(digest(bytes)).toBe(digest(joined(pieces)));
  });

  it.each([400, 429, 500, 529])('are those of an error of the provider, at %d', async (status) => {
    const body = bytesOf(`{ "error": {"message":"wrong \\u00fc ü", "code":${status}} }\r\n`);
    gateway.upstream.answer = (response) => {
      response.writeHead(status, { 'content-type': 'application/json', 'retry-after': '7', 'x-request-id': 'req_1' });
      response.end(body);
    };
    const answer = await gateway.invoke(eventOf(CHAT_PATH, STREAMS));
    expect([answer.status, answer.headers.get('retry-after'), answer.headers.get('x-request-id')]).toEqual([
      status,
      '7',
      'req_1',
    ]);
    expect(digest(answer.bytes)).toBe(digest(body));
  });

  it.each(form === 'streaming' ? PACED : [])(
    'go on before the provider sends more, of $name',
    async ({ path, type, pieces, asked }) => {
      const isKept = (piece: Uint8Array) => asked !== STREAMS || !isUsageAlone(piece);
      const body = new AcknowledgedBody(pieces.map((bytes) => ({ bytes, due: isKept(bytes) ? bytes.length : 0 })));
      answering((response) => body.sendTo(response), type);
      const chunks: Buffer[] = [];
      let head: Metadata | undefined;
      const stream = new ResponseStream({
        head: (metadata) => {
          head = metadata;
        },
        chunk: async (bytes) => {
          chunks.push(bytes);
          body.acknowledge(bytes.length);
        },
      });
      await gateway.handler(eventOf(path, asked), stream, lambdaContext('gateway', 'test', 60_000));
      expect(head?.statusCode).toBe(200);
      expect(digest(Buffer.concat(chunks))).toBe(digest(joined(pieces.filter(isKept))));
    },
  );

  it.each([
    { when: 'it is answered in one piece', body: `\uFEFF {"model":"${MODEL}",${ODD} }\n`, as: undefined },
    { when: 'it asks for usage itself', body: `{"model":"${MODEL}",${ODD},"stream":true , ${ASKED}}`, as: undefined },
    {
      when: 'it is asked for its usage',
      body: `{"model":"${MODEL}",${ODD},"stream":true}`,
      as: `{${ASKED},"model":"${MODEL}",${ODD},"stream":true}`,
    },
  ])('are asked for by those of the request, but for its usage, when $when', async ({ body, as = body }) => {
    for (const isBase64Encoded of [false, true]) {
      const event = eventOf(CHAT_PATH, isBase64Encoded ? Buffer.from(body).toString('base64') : body);
      expect((await gateway.invoke({ ...event, isBase64Encoded })).status).toBe(200);
      expect(gateway.upstream.last.body.toString()).toBe(as);
    }
  });
});
