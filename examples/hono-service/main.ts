/** Serves the app by Node alone. In production @hono/node-server does that, or `streamHandle` of hono/aws-lambda. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { app } from './service.js';

const server = createServer(async (request, response) => {
  const left = new AbortController();
  response.on('close', () => left.abort());
  const { method = 'GET', url = '/', headers } = request;
  const body = method === 'GET' || method === 'HEAD' ? null : Readable.toWeb(request);
  const init = { method, headers: headers as Record<string, string>, body, duplex: 'half', signal: left.signal };
  const answer = await app.fetch(new Request(`http://${headers.host}${url}`, init as RequestInit));
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  await pipeline(answer.body ?? [], response).catch(() => {});
});

server.listen(Number(process.env.PORT ?? 3_000), '127.0.0.1', () => {
  console.log(`Listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
