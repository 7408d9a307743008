import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** As much of EventBridge and SNS as alerts need: it keeps what it is told. */
export class EventStub {
  /** What EventBridge got. */
  readonly events: {
    readonly EventBusName: string;
    readonly Source: string;
    readonly DetailType: string;
    readonly Detail: string;
  }[] = [];
  /** What SNS got. */
  readonly messages: { readonly topicArn: string; readonly subject: string; readonly message: string }[] = [];
  #server: Server | undefined;
  /** Whether EventBridge takes no event. */
  refuses = false;

  /** Starts it, and returns the endpoint of both. */
  async start(): Promise<string> {
    this.#server = createServer((request, response) => {
      let text = '';
      request.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      request.on('end', () => {
        if (String(request.headers['x-amz-target']).endsWith('.PutEvents')) response.end(this.#put(text));
        else response.setHeader('content-type', 'text/xml').end(this.#publish(new URLSearchParams(text)));
      });
    });
    await new Promise<void>((resolve) => this.#server?.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve) ?? resolve(undefined));
  }

  #put(text: string): string {
    if (this.refuses)
      return JSON.stringify({ FailedEntryCount: 1, Entries: [{ ErrorCode: 'InternalFailure', ErrorMessage: 'not now' }] });
    this.events.push(...JSON.parse(text).Entries);
    return JSON.stringify({ FailedEntryCount: 0, Entries: [{ EventId: '1' }] });
  }

  #publish(form: URLSearchParams): string {
    const [topicArn, subject, message] = ['TopicArn', 'Subject', 'Message'].map((name) => form.get(name) ?? '');
    this.messages.push({ topicArn: topicArn ?? '', subject: subject ?? '', message: message ?? '' });
    return '<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>';
  }
}
