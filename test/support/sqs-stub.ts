import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Held {
  readonly id: string;
  body: string;
  hidden: boolean;
}

/**
 * A queue that speaks as much of SQS's JSON protocol as Headgate uses: send, receive, remove, hide, count. What is received stays hidden until it is given
 * back: no time passes here.
 */
export class SqsStub {
  readonly #messages: Held[] = [];
  #server: Server | undefined;
  #sent = 0;
  /** How many of the next messages are refused with a server fault. */
  refuses = 0;

  /** Starts it, and returns the queue's URL. */
  async start(): Promise<string> {
    this.#server = createServer((request, response) => {
      let text = '';
      request.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      request.on('end', () => {
        const action = String(request.headers['x-amz-target']).split('.')[1] ?? '';
        const [status, body] = this.#answer(action, JSON.parse(text || '{}'));
        response.writeHead(status, { 'content-type': 'application/x-amz-json-1.0' }).end(JSON.stringify(body));
      });
    });
    await new Promise<void>((resolve) => this.#server?.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/000000000000/unbooked`;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve) ?? resolve(undefined));
  }

  /** Of all messages that are there, hidden ones too. */
  get bodies(): readonly string[] {
    return this.#messages.map(({ body }) => body);
  }

  get visible(): number {
    return this.#messages.filter(({ hidden }) => !hidden).length;
  }

  put(body: string): void {
    this.#messages.push({ id: `message-${++this.#sent}`, body, hidden: false });
  }

  clear(): void {
    this.#messages.length = 0;
  }

  #answer(action: string, input: Record<string, unknown>): [number, unknown] {
    const held = this.#messages.find(({ id }) => id === input.ReceiptHandle);
    switch (action) {
      case 'SendMessage': {
        if (this.refuses > 0) {
          this.refuses--;
          return [400, { __type: 'com.amazonaws.sqs#OverLimit', message: 'refused' }];
        }
        this.put(String(input.MessageBody));
        return [200, { MessageId: `message-${this.#sent}`, MD5OfMessageBody: md5(String(input.MessageBody)) }];
      }
      case 'GetQueueAttributes':
        return [200, { Attributes: { ApproximateNumberOfMessages: String(this.visible) } }];
      case 'ReceiveMessage': {
        const received = this.#messages.filter(({ hidden }) => !hidden).slice(0, Number(input.MaxNumberOfMessages));
        for (const message of received) message.hidden = true;
        return [
          200,
          { Messages: received.map(({ id, body }) => ({ MessageId: id, ReceiptHandle: id, Body: body, MD5OfBody: md5(body) })) },
        ];
      }
      case 'DeleteMessage':
        if (held !== undefined) this.#messages.splice(this.#messages.indexOf(held), 1);
        return [200, {}];
      case 'ChangeMessageVisibility':
        if (held !== undefined) held.hidden = Number(input.VisibilityTimeout) > 0;
        return [200, {}];
      default:
        return [400, { __type: 'com.amazonaws.sqs#UnsupportedOperation', message: action }];
    }
  }
}

/** The client compares it. */
const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
