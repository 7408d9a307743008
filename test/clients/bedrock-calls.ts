import {
  type BedrockRuntimeClient,
  ConverseCommand,
  ConverseStreamCommand,
  InvokeModelCommand,
  InvokeModelWithResponseStreamCommand,
} from '@aws-sdk/client-bedrock-runtime';

export const MODEL = 'eu.anthropic.claude-sonnet-4-5-20250929-v1:0';
const ARN = `arn:aws:bedrock:eu-west-1:123456789012:inference-profile/${MODEL}`;

export const converse = (text: string, modelId = MODEL) => ({
  modelId,
  messages: [{ role: 'user' as const, content: [{ text }] }],
  inferenceConfig: { maxTokens: 98 },
});
export const invocation = (content: string) => ({
  modelId: MODEL,
  contentType: 'application/json',
  body: JSON.stringify({ anthropic_version: 'bedrock-2023-05-31', max_tokens: 98, messages: [{ role: 'user', content }] }),
});

export async function all<T>(events: AsyncIterable<T>): Promise<T[]> {
  const seen: T[] = [];
  for await (const event of events) seen.push(event);
  return seen;
}

/** Every call that costs tokens, read to its end: the usage that its client was told. */
export const BEDROCK_CALLS: readonly {
  readonly name: string;
  readonly call: (client: BedrockRuntimeClient, text: string) => Promise<readonly [input: number, output: number]>;
}[] = [
  {
    name: 'Converse',
    async call(client, text) {
      const { usage } = await client.send(new ConverseCommand(converse(text)));
      return [usage!.inputTokens!, usage!.outputTokens!];
    },
  },
  {
    name: 'ConverseStream',
    async call(client, text) {
      const { stream } = await client.send(new ConverseStreamCommand(converse(text, ARN)));
      const events = await all(stream!);
      const { usage } = events.find(({ metadata }) => metadata !== undefined)!.metadata!;
      return [usage!.inputTokens!, usage!.outputTokens!];
    },
  },
  {
    name: 'InvokeModel',
    async call(client, text) {
      const { body } = await client.send(new InvokeModelCommand(invocation(text)));
      const { usage } = JSON.parse(body.transformToString());
      return [usage.input_tokens, usage.output_tokens];
    },
  },
  {
    name: 'InvokeModelWithResponseStream',
    async call(client, text) {
      const { body } = await client.send(new InvokeModelWithResponseStreamCommand(invocation(text)));
      const events = (await all(body!)).map(({ chunk }) => JSON.parse(Buffer.from(chunk!.bytes!).toString()));
      return [events[0].message.usage.input_tokens, events.find(({ type }) => type === 'message_delta').usage.output_tokens];
    },
  },
];
