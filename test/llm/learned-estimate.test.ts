import { expect, it } from 'vitest';
import type { CallContent } from '../../lib/llm/call-content.js';
import { byCharacters, byTokens, fixed } from '../../lib/llm/estimate.js';
import { learned } from '../../lib/llm/learned-estimate.js';
import { seeded } from '../support/virtual-time.js';

const content = (text: string, more: Partial<CallContent> = {}): CallContent => ({
  texts: [text],
  messages: 1,
  jsonCharacters: 0,
  knownTokens: 0,
  statedOutputTokens: undefined,
  answers: 1,
  hasOutput: true,
  ...more,
});

it('is the other’s guess at first', async () => {
  const estimate = learned(byCharacters());
  expect(await estimate(content('x'.repeat(400)), 'gpt-4o')).toEqual({ inputTokens: 100, outputTokens: 200, totalTokens: 300 });
});

it('comes to exceed the true use of nine calls of ten, of input and output apart, however far off the guess was', async () => {
  const estimate = learned(byCharacters());
  const random = seeded(7);
  let [inputHeld, outputHeld] = [0, 0];
  for (let call = 0; call < 2_000; call += 1) {
    const estimated = await estimate(content('x'.repeat(4_000), { statedOutputTokens: 4_096 }), 'gpt-4o');
    // 1,000 tokens by characters are 1,200 to 1,400; of the 4,096 that are allowed 100 to 500 are used.
    const used = { inputTokens: 1_200 + Math.floor(random() * 200), outputTokens: 100 + Math.floor(random() * 400) };
    if (call >= 1_000 && estimated.inputTokens >= used.inputTokens) inputHeld += 1;
    if (call >= 1_000 && estimated.outputTokens >= used.outputTokens) outputHeld += 1;
    estimate.learn?.('gpt-4o', estimated, used);
  }
  expect(Math.abs(inputHeld / 1_000 - 0.9)).toBeLessThan(0.05);
  expect(Math.abs(outputHeld / 1_000 - 0.9)).toBeLessThan(0.05);
  const { inputTokens, outputTokens } = await estimate(content('x'.repeat(4_000), { statedOutputTokens: 4_096 }), 'gpt-4o');
  expect([inputTokens > 1_300 && inputTokens < 1_500, outputTokens > 400 && outputTokens < 600]).toEqual([true, true]);
});

it('learns of each resource by itself', async () => {
  const estimate = learned(byCharacters());
  for (let call = 0; call < 50; call += 1)
    estimate.learn?.('gpt-4o', await estimate(content('x'.repeat(400)), 'gpt-4o'), { inputTokens: 200, outputTokens: 20 });
  expect(await estimate(content('x'.repeat(400)), 'o3')).toEqual({ inputTokens: 100, outputTokens: 200, totalTokens: 300 });
});

it.each([
  { of: 'a tokenizer', estimate: byTokens((text) => text.split(' ').length), input: 4, output: 200 },
  { of: 'a fixed number', estimate: fixed({ inputTokens: 50, outputTokens: 60 }), input: 50, output: 60 },
])('$of is asked for the tokens of the prompt', ({ estimate, input, output }) => {
  expect(estimate(content('How do gates work?'))).toEqual({
    inputTokens: input,
    outputTokens: output,
    totalTokens: input + output,
  });
});
