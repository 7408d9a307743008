import { describe, expect, it } from 'vitest';
import {
  BedrockUsageReader,
  bedrockApi,
  bedrockModel,
  contentOfConverse,
  contentOfInvocation,
  usageOfConverse,
  usageOfInvocation,
} from '../../lib/llm/bedrock.js';

const used = (inputTokens: number, outputTokens: number, cachedInputTokens = 0, cacheWriteTokens = 0) => ({
  inputTokens,
  cachedInputTokens,
  ...(cacheWriteTokens > 0 && { cacheWriteTokens }),
  outputTokens,
  totalTokens: inputTokens + outputTokens,
});

describe('the name of a model', () => {
  it.each([
    ['eu.anthropic.claude-sonnet-4-6', 'eu.anthropic.claude-sonnet-4-6'],
    ['arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2:1', 'anthropic.claude-v2:1'],
    ['arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-pro-v1:0', 'eu.amazon.nova-pro-v1:0'],
  ])('of %s is %s', (id, name) => {
    expect(bedrockModel(id)).toBe(name);
  });
});

describe('a path', () => {
  const prepared = (path: string) => bedrockApi.prepare(new TextEncoder().encode('{}'), path);

  it('names a model, whose id may be escaped', () => {
    expect(prepared('/llm/bedrock/model/amazon.nova-pro-v1%3A0/converse')).toMatchObject({
      ok: true,
      model: 'amazon.nova-pro-v1:0',
    });
  });

  it.each(['/model/a%zz/converse', '/model/%ff/invoke'])('with an id that cannot be read, such as %s, is refused', (path) => {
    expect(prepared(path)).toEqual({
      ok: false,
      reason: 'model-invalid',
      message: 'Expected the model id in the path to be percent-encoded UTF-8',
    });
  });
});

describe('a Converse', () => {
  it('sends its system prompt, its messages and its tools, and an attachment counts 765', () => {
    const content = contentOfConverse({
      system: [{ text: 'Be brief.' }, { cachePoint: { type: 'default' } }],
      messages: [
        {
          role: 'user',
          content: [{ text: 'What is this?' }, { image: { format: 'png', source: { bytes: new Uint8Array(9_000) } } }],
        },
        { role: 'user', content: [{ toolResult: { toolUseId: 't1', content: [{ text: 'A cat' }] } }] },
      ],
      toolConfig: { tools: [{ toolSpec: { name: 'look' } }] },
      inferenceConfig: { maxTokens: 300 },
    });
    expect([...content.texts].sort()).toEqual(['A cat', 'Be brief.', 'What is this?']);
    expect(content).toMatchObject({ knownTokens: 765, jsonCharacters: 30, statedOutputTokens: 300, answers: 1, hasOutput: true });
  });

  it('may send bytes that are no attachment, and nobody looks through them', () => {
    const redactedContent = Object.assign(new Uint8Array(3), { seen: 'One that was looked through' });
    const thought = { role: 'assistant', content: [{ reasoningContent: { redactedContent } }, { text: 'Hi' }] };

    expect(contentOfConverse({ messages: [thought] })).toMatchObject({ texts: ['Hi'], messages: 1, knownTokens: 0 });
  });

  it('counts what was read from the cache and written to it as input', () => {
    const usage = {
      inputTokens: 12,
      outputTokens: 30,
      totalTokens: 1_142,
      cacheReadInputTokens: 1_000,
      cacheWriteInputTokens: 100,
    };
    expect(usageOfConverse(usage)).toEqual(used(1_112, 30, 1_000, 100));
  });

  it.each([
    undefined,
    {},
    { inputTokens: -1, outputTokens: 3 },
    { inputTokens: 1.5, outputTokens: 3 },
    { inputTokens: '4', outputTokens: 3 },
  ])('that states the usage %o states none', (usage) => {
    expect(usageOfConverse(usage)).toBeUndefined();
  });
});

describe('an invocation', () => {
  it.each([
    [
      'Anthropic',
      { usage: { input_tokens: 10, cache_read_input_tokens: 5, cache_creation_input_tokens: 1, output_tokens: 7 } },
      used(16, 7, 5, 1),
    ],
    [
      'Nova',
      { usage: { inputTokens: 10, outputTokens: 7, totalTokens: 23, cacheReadInputTokenCount: 4, cacheWriteInputTokenCount: 2 } },
      used(16, 7, 4, 2),
    ],
    ['Mistral', { usage: { prompt_tokens: 10, completion_tokens: 7, total_tokens: 17 } }, used(10, 7)],
    ['Llama', { generation: 'Hi', prompt_token_count: 10, generation_token_count: 7 }, used(10, 7)],
    ['Titan', { inputTextTokenCount: 10, results: [{ tokenCount: 3 }, { tokenCount: 4 }] }, used(10, 7)],
    ['Titan’s embeddings', { embedding: [0.1], inputTextTokenCount: 10 }, used(10, 0)],
    ['nobody', { text: 'Hi' }, undefined],
  ])('of %s tells its usage in its body', (_family, body, usage) => {
    expect(usageOfInvocation(body)).toEqual(usage);
  });

  it('of which the body tells none is counted by the headers', () => {
    const headers = new Headers({ 'x-amzn-bedrock-input-token-count': '10', 'x-amzn-bedrock-output-token-count': '7' });
    expect(usageOfInvocation({ text: 'Hi' }, headers)).toEqual(used(10, 7));
    expect(usageOfInvocation(undefined, new Headers({ 'x-amzn-bedrock-input-token-count': '10' }))).toEqual(used(10, 0));
    for (const count of ['many', '', '-1', '1.5'])
      expect(usageOfInvocation({}, new Headers({ 'x-amzn-bedrock-input-token-count': count })), count).toBeUndefined();
  });

  it('of which the headers tell what was cached has that as input too', () => {
    const headers = new Headers({
      'x-amzn-bedrock-input-token-count': '10',
      'x-amzn-bedrock-output-token-count': '7',
      'x-amzn-bedrock-cache-read-input-token-count': '1000',
      'x-amzn-bedrock-cache-write-input-token-count': '100',
    });
    expect(usageOfInvocation({ text: 'Hi' }, headers)).toEqual(used(1_110, 7, 1_000, 100));
  });

  it.each([
    [{ prompt: 'Hi', max_gen_len: 9 }, ['Hi'], 9],
    [{ prompt: 'Hi', max_tokens_to_sample: 9 }, ['Hi'], 9],
    [{ inputText: 'Hi', textGenerationConfig: { maxTokenCount: 9 } }, ['Hi'], 9],
    [{ messages: [{ role: 'user', content: [{ text: 'Hi' }] }], inferenceConfig: { maxTokens: 9 } }, ['Hi'], 9],
    [{ messages: [{ role: 'user', content: 'Hi' }], max_tokens: 9 }, ['Hi'], 9],
    [{ texts: ['Hi', 'Ho'] }, ['Ho', 'Hi'], undefined],
  ])('with the body %o sends and asks for what it says', (body, texts, statedOutputTokens) => {
    expect(contentOfInvocation(body, 'some.model')).toMatchObject({ texts, statedOutputTokens, hasOutput: true });
  });

  it('of an embedding model has no output, and an image counts 765', () => {
    const content = contentOfInvocation({ inputText: 'Hi', inputImage: 'aGVsbG8=' }, 'amazon.titan-embed-image-v1');
    expect(content).toMatchObject({ texts: ['Hi'], knownTokens: 765, hasOutput: false });
  });
});

describe('a stream', () => {
  const read = (...events: object[]) => {
    const reader = new BedrockUsageReader();
    for (const event of events) expect(reader.read(JSON.stringify(event))).toBe(false);
    return reader.usage;
  };
  const chunk = (event: object) => ({ bytes: Buffer.from(JSON.stringify(event)).toString('base64') });

  it('of Converse tells its usage in its last event, and nothing before', () => {
    const events = [{ role: 'assistant' }, { delta: { text: 'Hi' } }, { stopReason: 'end_turn' }];
    expect(read(...events)).toBeUndefined();
    expect(read(...events, { usage: { inputTokens: 10, outputTokens: 7, totalTokens: 17 }, metrics: {} })).toEqual(used(10, 7));
  });

  it('of an Anthropic model is read as Anthropic’s own: its numbers are sums already', () => {
    const start = {
      type: 'message_start',
      message: { usage: { input_tokens: 25, cache_read_input_tokens: 5, output_tokens: 1 } },
    };
    const text = { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'Hi' } };
    const [first, last] = [10, 15].map((output_tokens) => ({ type: 'message_delta', delta: {}, usage: { output_tokens } }));
    const stop = { type: 'message_stop', 'amazon-bedrock-invocationMetrics': { inputTokenCount: 25, outputTokenCount: 15 } };
    expect(read(...[start, text, first!, last!, stop].map(chunk))).toEqual(used(30, 15, 5));
    expect(read(...[start, text].map(chunk))).toEqual(used(30, 1, 5));
  });

  it('of any other model tells what Bedrock adds to its last event', () => {
    const metrics = { inputTokenCount: 10, outputTokenCount: 7, cacheReadInputTokenCount: 4 };
    const last = { generation: '', stop_reason: 'stop', 'amazon-bedrock-invocationMetrics': metrics };
    expect(read(chunk({ generation: 'Hi' }))).toBeUndefined();
    expect(read(chunk({ generation: 'Hi' }), chunk(last))).toEqual(used(14, 7, 4));
  });

  it.each(['', 'no JSON', '[]', 'null', '{"bytes":"!"}', '{"usage":3}'])(
    'with the event %j tells nothing, and goes on',
    (data) => {
      const reader = new BedrockUsageReader();
      expect(reader.read(data)).toBe(false);
      expect(reader.usage).toBeUndefined();
    },
  );
});
