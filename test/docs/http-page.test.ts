import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type System, startSystem } from '../../local/system.js';
import { testEndpoint } from '../support/dynamodb.js';

interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly body: string | undefined;
  readonly status: number;
  readonly answer: string;
}

/** The exchanges of the page's `http` blocks: what is sent, and after an empty line what comes back. */
function exchanges(page: string): readonly Exchange[] {
  return [...page.matchAll(/^```http\n(\w+) (\S+)\n(?:(\{.*\})\n)?\n(\d+)\n(.*)\n```$/gm)].map(
    ([, method = '', path = '', body, status = '', answer = '']) => ({ method, path, body, status: Number(status), answer }),
  );
}

/** `…` stands for whatever is there. */
const pattern = (answer: string): RegExp =>
  new RegExp(`^${answer.replace(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll('…', '.*')}$`);

const page = readFileSync(new URL('../../docs/http-api.md', import.meta.url), 'utf8');
let system: System;

beforeAll(async () => {
  system = await startSystem({
    port: 0,
    dynamoEndpoint: testEndpoint(),
    tableName: `page-${randomUUID()}`,
    namespace: 'default',
  });
});

afterAll(() => system.stop());

it('the page of the HTTP API answers what it says, from the first exchange to the last', async () => {
  const walk = exchanges(page);
  expect(walk.map(({ status }) => status)).toEqual([200, 200, 409, 429, 400, 200, 200]);
  expect(walk).toHaveLength(page.match(/^```http$/gm)?.length ?? 0);
  let lease = '';
  for (const { method, path, body, status, answer } of walk) {
    const response = await fetch(system.url + path, { method, ...(body && { body: body.replace('$lease', lease) }) });
    const text = await response.text();
    expect([`${method} ${path}`, response.status]).toEqual([`${method} ${path}`, status]);
    expect(text).toMatch(pattern(answer));
    lease = (JSON.parse(text) as { lease?: string }).lease ?? lease;
  }
});
