import { expect, it } from 'vitest';
import { byCharacters, byTokenizer, byTokens, fixed, learned } from '../../lib/clients/index.js';

const other = (value: unknown) => value as never;

it.each([
  {
    wrong: () => byCharacters({ defaultOutputTokens: -1 }),
    message: 'Expected defaultOutputTokens to be an integer from 0 to 9007199254740991, got -1',
  },
  {
    wrong: () => byCharacters(other({ defaultOutputToken: 9 })),
    message: 'Expected options.defaultOutputToken to be left out: options has the fields defaultOutputTokens, got 9',
  },
  {
    wrong: () => byTokenizer({ defaultOutputTokens: 1.5 }),
    message: 'Expected defaultOutputTokens to be an integer from 0 to 9007199254740991, got 1.5',
  },
  {
    wrong: () => byTokens(other(undefined)),
    message: 'Expected count to be a function that counts the tokens of a text, got undefined',
  },
  {
    wrong: () => byTokens((text) => text.length, { defaultOutputTokens: Number.NaN }),
    message: 'Expected defaultOutputTokens to be an integer from 0 to 9007199254740991, got NaN',
  },
  {
    wrong: () => fixed({ inputTokens: -1, outputTokens: 20 }),
    message: 'Expected inputTokens to be an integer from 0 to 9007199254740991, got -1',
  },
  {
    wrong: () => fixed(other({ inputTokens: 1 })),
    message: 'Expected outputTokens to be an integer from 0 to 9007199254740991, got undefined',
  },
  { wrong: () => fixed(other(undefined)), message: 'Expected tokens to be an object, got undefined' },
  {
    wrong: () => learned(byCharacters(), { quantile: 1 }),
    message: 'Expected quantile to be a number above 0 and below 1, got 1',
  },
  {
    wrong: () => learned(byCharacters(), { quantile: 0 }),
    message: 'Expected quantile to be a number above 0 and below 1, got 0',
  },
  {
    wrong: () => learned(other(undefined)),
    message: 'Expected base to be another estimator, such as byCharacters(), got undefined',
  },
])('an estimator with wrong options is refused before the first call: $message', ({ wrong, message }) => {
  expect(wrong).toThrow(expect.objectContaining({ code: 'InvalidArgument', message }));
});
