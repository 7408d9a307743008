/** A message that was received, and is hidden from other readers for some minutes. */
export interface Message {
  readonly body: string;
  /** Of this receipt, to remove it or to give it back. */
  readonly receipt: string;
}

/** A queue that is worked off. */
export interface MessageQueue {
  /** About how many messages wait. */
  waiting(): Promise<number>;
  /** Up to ten of them; none: all that wait were received. */
  receive(): Promise<readonly Message[]>;
  remove(message: Message): Promise<void>;
  /** Shows the message to readers again, at once. */
  giveBack(message: Message): Promise<void>;
  close(): void;
}

/** How long one run hides what it has received: longer than it works on ten messages. */
const HIDDEN_SECONDS = 900;

/** The SQS queue of this URL, at the host that the URL names. Throws when SQS's client is not installed. */
export async function messageQueue(url: string, region: string | undefined): Promise<MessageQueue> {
  const { ChangeMessageVisibilityCommand, DeleteMessageCommand, GetQueueAttributesCommand, ReceiveMessageCommand, SQSClient } =
    await import('@aws-sdk/client-sqs').catch((cause: unknown) => {
      throw new Error('The client of SQS is not installed: npm install @aws-sdk/client-sqs', { cause });
    });
  const place = /sqs\.([a-z0-9-]+)\.amazonaws/.exec(url)?.[1] ?? region;
  const client = new SQSClient({ endpoint: new URL(url).origin, ...(place ? { region: place } : {}) });
  return {
    async waiting() {
      const { Attributes } = await client.send(
        new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['ApproximateNumberOfMessages'] }),
      );
      return Number(Attributes?.ApproximateNumberOfMessages ?? 0);
    },
    async receive() {
      const { Messages = [] } = await client.send(
        new ReceiveMessageCommand({
          QueueUrl: url,
          MaxNumberOfMessages: 10,
          WaitTimeSeconds: 1,
          VisibilityTimeout: HIDDEN_SECONDS,
        }),
      );
      return Messages.map(({ Body = '', ReceiptHandle = '' }) => ({ body: Body, receipt: ReceiptHandle }));
    },
    async remove({ receipt }) {
      await client.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle: receipt }));
    },
    async giveBack({ receipt }) {
      await client.send(new ChangeMessageVisibilityCommand({ QueueUrl: url, ReceiptHandle: receipt, VisibilityTimeout: 0 }));
    },
    close: () => client.destroy(),
  };
}
