import { build } from 'esbuild';
import { encodeChat as encodeOlderChat } from 'gpt-tokenizer/model/gpt-4';
import { encodeChat } from 'gpt-tokenizer/model/gpt-4o';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { CallContent } from '../../lib/llm/call-content.js';
import { contentOfOpenAi } from '../../lib/llm/openai.js';
import { byTokenizer } from '../../lib/llm/tokenizer-estimate.js';
import { seeded } from '../support/virtual-time.js';

const content = (text: string, more: Partial<CallContent> = {}): CallContent => ({
  texts: [text],
  messages: 0,
  jsonCharacters: 0,
  knownTokens: 0,
  statedOutputTokens: undefined,
  answers: 1,
  hasOutput: true,
  ...more,
});
const inputOf = async (of: CallContent, model = 'gpt-4o') => (await byTokenizer()(of, model)).inputTokens;

describe('byTokenizer', () => {
  it.each([
    { text: '', tokens: 0 },
    { text: 'hello world', tokens: 2 },
    { text: 'tokenization', tokens: 2 },
    { text: 'Grüße aus Köln', tokens: 5 },
    { text: '你好，世界', tokens: 3 },
    // Users may write what means something to the model: it is text, and no reason to fail.
    { text: '<|endoftext|>', tokens: 7 },
  ])('counts $tokens tokens in "$text"', async ({ text, tokens }) => {
    expect(await byTokenizer()(content(text), 'gpt-4o')).toEqual({
      inputTokens: tokens,
      outputTokens: 200,
      totalTokens: tokens + 200,
    });
  });

  it.each([
    { model: 'gpt-4o-mini', tokens: 3 },
    { model: 'gpt-4.1', tokens: 3 },
    { model: 'gpt-4.5-preview', tokens: 3 },
    { model: 'gpt-5', tokens: 3 },
    { model: 'o3', tokens: 3 },
    { model: 'claude-sonnet-4-5', tokens: 3 },
    { model: 'gpt-4', tokens: 6 },
    { model: 'gpt-4-turbo', tokens: 6 },
    { model: 'gpt-3.5-turbo', tokens: 6 },
    { model: 'text-embedding-3-small', tokens: 6 },
  ])('counts as $model does: $tokens tokens', async ({ model, tokens }) => {
    expect(await inputOf(content('你好，世界'), model)).toBe(tokens);
  });

  it.each([
    { when: 'one message', contents: ['Hello'] },
    { when: 'several', contents: ['You are a helpful assistant.', 'Hello, how are you?', 'I am well.'] },
    { when: 'a long one', contents: ['How do gates work, and who opens them?\n'.repeat(200)] },
  ])('counts a chat of $when exactly as the tokenizer counts chats', async ({ contents }) => {
    const messages = contents.map((text, index) => ({
      role: index === 0 ? ('system' as const) : ('user' as const),
      content: text,
    }));
    const chat = contentOfOpenAi({ messages }, 'chat');
    expect(await inputOf(chat)).toBe(encodeChat(messages, 'gpt-4o').length);
    expect(await inputOf(chat, 'gpt-4')).toBe(encodeOlderChat(messages, 'gpt-4').length);
  });

  it('keeps attachments, tools and the output as characters are counted', async () => {
    const call = content('hello world', { knownTokens: 765, jsonCharacters: 41, statedOutputTokens: 50, answers: 2 });
    expect(await byTokenizer()(call, 'gpt-4o')).toEqual({ inputTokens: 778, outputTokens: 100, totalTokens: 878 });
    expect((await byTokenizer({ defaultOutputTokens: 9 })(content(''), 'gpt-4o')).outputTokens).toBe(9);
  });

  it('counts a sample of a long prompt, within 3 % of the whole', async () => {
    const random = seeded(7);
    const words = ['gate', 'opens', 'when', 'the', 'administrator', 'allows', 'it,', 'mostly', 'at 07:45', '— or not.\n'];
    const text = Array.from({ length: 60_000 }, () => words[Math.floor(random() * words.length)]).join(' ');
    const { countTokens } = await import('gpt-tokenizer/encoding/o200k_base');
    const exact = countTokens(text);
    const counted = await inputOf(content(text));
    expect(counted).toBeGreaterThan(exact * 0.97);
    expect(counted).toBeLessThan(exact * 1.03);
  });

  it.each([
    { when: 'it has no spaces', text: 'Aa1+'.repeat(250_000), atLeast: 200_000 },
    { when: 'it is nothing but spaces', text: ' '.repeat(1_000_000), atLeast: 1_000 },
    { when: 'it is of characters of two code units', text: '😀🌍'.repeat(250_000), atLeast: 400_000 },
    { when: 'it is many short texts', text: '', texts: Array.from({ length: 200_000 }, () => 'word'), atLeast: 200_000 },
  ])('counts a million characters in less than two seconds when $when', async ({ text, texts = [text], atLeast }) => {
    await inputOf(content('the first loads the tokenizer'));
    const startedMs = performance.now();
    expect(await inputOf(content('', { texts }))).toBeGreaterThanOrEqual(atLeast);
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  });
});

it('adds nothing to a program that does not use it', async () => {
  const bundled = async (name: string) => {
    const { metafile } = await build({
      stdin: { contents: `export { ${name} } from './lib/clients/index.js'`, resolveDir: process.cwd() },
      bundle: true,
      format: 'esm',
      platform: 'node',
      write: false,
      metafile: true,
      logLevel: 'silent',
    });
    const [output] = Object.values(metafile.outputs);
    return Object.entries(output?.inputs ?? {}).some(
      ([path, { bytesInOutput }]) => path.includes('gpt-tokenizer') && bytesInOutput > 0,
    );
  };
  expect([await bundled('limitedFetch'), await bundled('byTokenizer')]).toEqual([false, true]);
});

describe('byTokenizer without its package', () => {
  afterEach(() => {
    vi.doUnmock('gpt-tokenizer/encoding/o200k_base');
    vi.resetModules();
  });

  it('rejects with an error that names the package, and each limited client reports it once and counts characters', async () => {
    vi.resetModules();
    vi.doMock('gpt-tokenizer/encoding/o200k_base', () => {
      throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
    });
    const { byTokenizer: withoutPackage } = await import('../../lib/llm/tokenizer-estimate.js');
    const { CallLimits } = await import('../../lib/clients/call-limits.js');
    const { RateLimiter } = await import('../../lib/limiter.js');
    const { MemoryStore } = await import('../../lib/store/memory-store.js');
    const { HeadgateAdmin } = await import('../../lib/admin.js');
    const { Limit } = await import('../../lib/core/limit.js');

    await expect(withoutPackage()(content('hello'), 'gpt-4o')).rejects.toThrow(
      'Expected gpt-tokenizer to be a package that is installed beside headgate, for byTokenizer() counts with it',
    );

    const store = new MemoryStore();
    await new HeadgateAdmin({ store }).setLimits({ system: true }, [Limit.perHour('tph', 1_000)]);
    const warnings: string[] = [];
    const limits = new CallLimits({
      limiter: new RateLimiter({ store }),
      entity: 'key-123',
      estimate: withoutPackage(),
      onWarning: ({ message }) => warnings.push(message),
    });
    const left = [];
    for (let call = 0; call < 3; call += 1) {
      const limited = await limits.acquire({ model: 'gpt-4o', content: content('12345678', { statedOutputTokens: 98 }) });
      left.push(limited.limits.map(({ available }) => available));
    }
    expect(left).toEqual([[900], [800], [700]]);
    expect(warnings).toEqual([expect.stringContaining('gpt-tokenizer')]);
  });
});
