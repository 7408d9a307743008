import { expect, it } from 'vitest';
import { matchesGlob } from '../../lib/config/glob.js';

it.each([
  { pattern: '', name: '', matches: true },
  { pattern: '', name: 'a', matches: false },
  { pattern: '*', name: '', matches: true },
  { pattern: '*', name: 'gpt-4o', matches: true },
  { pattern: 'gpt-4o', name: 'gpt-4o', matches: true },
  { pattern: 'gpt-4o', name: 'gpt-4o-mini', matches: false },
  { pattern: 'gpt-4o', name: 'GPT-4o', matches: false },
  { pattern: 'gpt-*', name: 'gpt-', matches: true },
  { pattern: 'gpt-*', name: 'my-gpt-4', matches: false },
  { pattern: '*-mini', name: 'gpt-4o-mini', matches: true },
  { pattern: '*-mini', name: 'gpt-4o-mini-2', matches: false },
  { pattern: 'gpt-*-mini', name: 'gpt-mini', matches: false },
  { pattern: 'gpt-*-mini', name: 'gpt-x-mini-y-mini', matches: true },
  { pattern: 'a*b*c', name: 'a-b-b-c', matches: true },
  { pattern: 'a*b*c', name: 'a-c-b', matches: false },
  { pattern: '**', name: 'a', matches: true },
  { pattern: 'claude-?', name: 'claude-3', matches: true },
  { pattern: 'claude-?', name: 'claude-', matches: false },
  { pattern: 'claude-?*', name: 'claude-35', matches: true },
  { pattern: 'a.c', name: 'abc', matches: false },
  { pattern: '[ab]', name: 'a', matches: false },
  { pattern: 'a+(b)', name: 'a+(b)', matches: true },
])('the pattern $pattern on $name: $matches', ({ pattern, name, matches }) => {
  expect(matchesGlob(pattern, name)).toBe(matches);
});

it('a pattern of many stars on a name that almost matches takes no time', () => {
  const startMs = performance.now();

  expect(matchesGlob(`${'a*'.repeat(100)}b`, 'a'.repeat(256))).toBe(false);

  expect(performance.now() - startMs).toBeLessThan(100);
});
