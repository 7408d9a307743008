import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request as it arrived. */
export interface Arrived {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  /** Names and values in turn, as they were written. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

type Answer = (response: ServerResponse, arrived: Arrived) => unknown;

/** The tokens of every answer in one piece, unless a test says otherwise. */
export const USAGE = { prompt_tokens: 11, completion_tokens: 22, total_tokens: 33 };

const completion: Answer = (response) => {
  response.writeHead(200, { 'Content-Type': 'application/json' });
  response.end(JSON.stringify({ id: 'chatcmpl-1', object: 'chat.completion', choices: [], usage: USAGE }));
};

/** A provider whose answers each test writes by hand. */
export class HandMadeUpstream {
  readonly arrived: Arrived[] = [];
  answer: Answer = completion;

  private constructor(
    readonly server: Server,
    readonly url: string,
  ) {}

  static async start(): Promise<HandMadeUpstream> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const upstream = new HandMadeUpstream(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on('request', (request, response) => void upstream.#handle(request, response));
    return upstream;
  }

  /** What arrived last. */
  get last(): Arrived {
    const last = this.arrived.at(-1);
    if (last === undefined) throw new Error('nothing arrived');
    return last;
  }

  reset(): void {
    this.arrived.length = 0;
    this.answer = completion;
  }

  async stop(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const { method = '', url = '', headers, rawHeaders } = request;
    const arrived = { method, url, headers, rawHeaders, body: Buffer.concat(chunks) };
    this.arrived.push(arrived);
    await this.answer(response, arrived);
  }
}
