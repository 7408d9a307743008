import type { UnbookedRecord } from '../lib/usage/unbooked-record.js';

/** Takes records that cannot be booked. */
export interface UnbookedQueue {
  /** Resolves once the queue holds the record; rejects where it may not. */
  send(record: UnbookedRecord): Promise<void>;
}

/** The queue of this URL. Its client is loaded with the first record: nearly all functions never see one. */
export function unbookedQueue(url: string): UnbookedQueue {
  let sender: Promise<(body: string) => Promise<unknown>> | undefined;
  return {
    async send(record) {
      sender ??= import('@aws-sdk/client-sqs').then(({ SendMessageCommand, SQSClient }) => {
        const client = new SQSClient({ endpoint: new URL(url).origin });
        return (body) => client.send(new SendMessageCommand({ QueueUrl: url, MessageBody: body }));
      });
      await (await sender)(JSON.stringify(record));
    },
  };
}
