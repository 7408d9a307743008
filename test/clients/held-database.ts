import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { testEndpoint } from '../support/dynamodb.js';

/** The tests' database behind an endpoint that tells which calls came, and holds them back when it is told to. */
export class HeldDatabase {
  readonly #server: Server;
  readonly #log: string[] = [];
  readonly #held: { readonly operation: string; readonly letPass: () => void }[] = [];
  #mayPass = Number.POSITIVE_INFINITY;

  private constructor(server: Server) {
    this.#server = server;
    server.on('request', (request, response) => void this.#handle(request, response));
  }

  static async start(): Promise<HeldDatabase> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new HeldDatabase(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The operations that are held back now, in the order in which they came. */
  get held(): readonly string[] {
    return this.#held.map(({ operation }) => operation);
  }

  /** Writes down that something else happened, between the calls. */
  note(what: string): void {
    this.#log.push(what);
  }

  /** The operations since it was asked last, and what was noted, in order. */
  take(): readonly string[] {
    return this.#log.splice(0);
  }

  /** So many calls pass from now on, and no more. */
  pass(calls: number): void {
    this.#mayPass = calls;
    while (this.#mayPass > 0 && this.#held.length > 0) {
      this.#mayPass -= 1;
      this.#held.shift()?.letPass();
    }
  }

  passAll(): void {
    this.pass(Number.POSITIVE_INFINITY);
  }

  async stop(): Promise<void> {
    this.passAll();
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const operation = String(request.headers['x-amz-target']).split('.').at(-1) ?? '';
    this.#log.push(operation);
    if (this.#mayPass > 0) this.#mayPass -= 1;
    else await new Promise<void>((letPass) => void this.#held.push({ operation, letPass }));
    const { method, url, headers } = request;
    const forwarded = send(new URL(url ?? '/', testEndpoint()), { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    forwarded.on('error', () => response.destroy());
    request.pipe(forwarded);
  }
}
