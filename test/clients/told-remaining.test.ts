import { expect, it } from 'vitest';
import { toldRemaining } from '../../lib/clients/told-remaining.js';

it.each([
  {
    provider: 'OpenAI',
    headers: {
      'x-ratelimit-limit-requests': '500',
      'x-ratelimit-remaining-requests': '499',
      'x-ratelimit-reset-requests': '120ms',
      'x-ratelimit-limit-tokens': '30000',
      'x-ratelimit-remaining-tokens': '29984',
      'x-ratelimit-reset-tokens': '32ms',
    },
    told: [
      { counts: 'requests', remaining: 499, capacity: 500 },
      { counts: 'tokens', remaining: 29_984, capacity: 30_000 },
    ],
  },
  {
    provider: 'Anthropic, which rounds tokens to thousands',
    headers: {
      'anthropic-ratelimit-requests-limit': '50',
      'anthropic-ratelimit-requests-remaining': '49',
      'anthropic-ratelimit-input-tokens-limit': '30000',
      'anthropic-ratelimit-input-tokens-remaining': '29000',
      'anthropic-ratelimit-output-tokens-limit': '8000',
      'anthropic-ratelimit-output-tokens-remaining': '0',
      'anthropic-ratelimit-tokens-limit': '38000',
      'anthropic-ratelimit-tokens-remaining': '36000',
    },
    told: [
      { counts: 'requests', remaining: 49, capacity: 50 },
      { counts: 'tokens', remaining: 36_500, capacity: 38_000 },
      { counts: 'inputTokens', remaining: 29_500, capacity: 30_000 },
      { counts: 'outputTokens', remaining: 0, capacity: 8_000 },
    ],
  },
  {
    provider: 'Azure, without the limits',
    headers: { 'x-ratelimit-remaining-requests': '9', 'x-ratelimit-remaining-tokens': '0' },
    told: [
      { counts: 'requests', remaining: 9, capacity: undefined },
      { counts: 'tokens', remaining: 0, capacity: undefined },
    ],
  },
  {
    provider: 'Azure where it does not know',
    headers: { 'x-ratelimit-limit-tokens': '-1', 'x-ratelimit-remaining-tokens': '-1', 'x-ratelimit-reset-tokens': '0' },
    told: [],
  },
  { provider: 'Gemini, which says nothing', headers: { 'content-type': 'application/json' }, told: [] },
  {
    provider: 'somebody who writes anything else',
    headers: {
      'x-ratelimit-remaining-requests': 'many',
      'x-ratelimit-remaining-tokens': '',
      'anthropic-ratelimit-tokens-remaining': '1e3',
      'anthropic-ratelimit-input-tokens-remaining': '99999999999999999999',
    },
    told: [],
  },
])('reads what is left from the headers of $provider', ({ headers, told }) => {
  expect(toldRemaining(new Headers(headers as Record<string, string>))).toEqual(told);
});
