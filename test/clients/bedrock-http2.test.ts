import { createServer, type Http2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { BedrockRuntimeClient, ConverseCommand, InvokeModelCommand } from '@aws-sdk/client-bedrock-runtime';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { limitedBedrock } from '../../lib/clients/index.js';
import { Limit } from '../../lib/core/limit.js';
import { memory, type TestBed } from '../support/stores.js';

let server: Http2Server;
let client: BedrockRuntimeClient;
let bed: TestBed;

/** A provider that speaks HTTP/2, as Bedrock's own does. */
beforeEach(async () => {
  server = createServer();
  server.on('stream', (stream, { ':path': path = '' }) => {
    stream.resume().once('end', () => {
      stream.respond({
        ':status': 200,
        'content-type': 'application/json',
        'x-amzn-bedrock-input-token-count': '7',
        'x-amzn-bedrock-output-token-count': '3',
      });
      stream.end(JSON.stringify(path.endsWith('/converse') ? { usage: { inputTokens: 5, outputTokens: 2 } } : { text: 'Hi' }));
    });
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  bed = await memory.fresh();
  // With no request handler given it speaks HTTP/2.
  client = new BedrockRuntimeClient({
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region: 'eu-west-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    maxAttempts: 1,
  });
});

afterEach(() => {
  client.destroy();
  server.close();
});

it.each([
  {
    when: 'a Converse states its usage in its body',
    call: () => client.send(new ConverseCommand({ modelId: 'm', messages: [{ role: 'user', content: [{ text: 'Hello' }] }] })),
    used: 7,
  },
  {
    when: 'an InvokeModel is counted in headers alone',
    call: () => client.send(new InvokeModelCommand({ modelId: 'm', body: JSON.stringify({ message: 'Hello' }) })),
    used: 10,
  },
])('settles over HTTP/2, and frees the slot, when $when', async ({ call, used }) => {
  const limits = [Limit.perHour('tph', 1_000), Limit.concurrent('inflight', 1, { leaseMs: 600_000 })];
  await bed.admin().setLimits({ entity: 'key-123', resource: 'm' }, limits);
  const limiter = bed.limiter({ cacheTtlMs: 0 });
  client.middlewareStack.use(limitedBedrock({ limiter, entity: 'key-123' }));

  await call();

  expect(await limiter.available({ entity: 'key-123', resource: 'm' })).toEqual({ tph: 1_000 - used, inflight: 1 });
});
