import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** As much of S3 as an archive needs: it keeps what is put, by bucket and key. */
export class S3Stub {
  readonly objects = new Map<string, Buffer>();
  #server: Server | undefined;
  /** How many of the next objects are refused. */
  refuses = 0;

  /** Starts it, and returns its endpoint. */
  async start(): Promise<string> {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (request.method !== 'PUT' || this.refuses-- > 0) {
          response.writeHead(403).end('<Error><Code>AccessDenied</Code></Error>');
          return;
        }
        const path = new URL(request.url ?? '', 'http://s3').pathname;
        this.objects.set(decodeURIComponent(path.slice(1)), Buffer.concat(chunks));
        response.writeHead(200).end();
      });
    });
    await new Promise<void>((resolve) => this.#server?.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve) ?? resolve(undefined));
  }
}
