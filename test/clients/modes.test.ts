import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { limitedFetch } from '../../lib/clients/index.js';
import { ManifestAdmin, readManifest } from '../../lib/manifest/index.js';
import { type SimulatedUpstream, startUpstream } from '../../local/upstream/simulated-upstream.js';
import { memory, type TestBed } from '../support/stores.js';

const CHAT = '/v1/chat/completions';
const MESSAGES = '/v1/messages';
/** Eight characters, two tokens. */
const PROMPT = 'Hello?!!';
const GEMINI_BODY = { contents: [{ role: 'user', parts: [{ text: PROMPT }] }], generationConfig: { maxOutputTokens: 98 } };

let upstream: SimulatedUpstream;
let bed: TestBed;

beforeAll(async () => {
  upstream = await startUpstream();
  upstream.behaviour.usage = { promptTokens: 30, completionTokens: 12 };
  bed = await memory.fresh();
  const [, yaml = ''] = /^```yaml\n([\s\S]*?)^```$/m.exec(readFileSync('docs/llm.md', 'utf8')) ?? [];
  const read = readManifest(yaml, { file: 'docs/llm.md' });
  if (!('manifest' in read)) throw new Error(JSON.stringify(read.problems));
  const { store, namespace, clock } = bed;
  const admin = new ManifestAdmin({ store, namespace, clock });
  await admin.apply(await admin.plan(read.manifest));
});

afterAll(() => upstream.stop());

/** What the simulated provider says, but that ten of the prompt's tokens came from its cache and five went into it. */
const fromCache = async (answer: Response): Promise<Response> => {
  const text = (await answer.text())
    .replaceAll('"total_tokens":42', '"total_tokens":42,"prompt_tokens_details":{"cached_tokens":10}')
    .replaceAll('"promptTokenCount":30', '"promptTokenCount":30,"cachedContentTokenCount":10')
    .replaceAll(
      '"input_tokens":30,"cache_creation_input_tokens":0,"cache_read_input_tokens":0',
      '"input_tokens":15,"cache_creation_input_tokens":5,"cache_read_input_tokens":10',
    );
  return new Response(text, { status: answer.status, headers: { 'content-type': answer.headers.get('content-type') ?? '' } });
};

describe.each([
  {
    mode: 'combined',
    model: 'gpt-4o',
    path: CHAT,
    full: { rpm: 500, tpm: 30_000 },
    running: { rpm: 499, tpm: 29_900 },
    after: { rpm: 499, tpm: 29_958 },
  },
  {
    mode: 'split',
    model: 'claude-sonnet-4-5',
    path: MESSAGES,
    full: { rpm: 50, itpm: 30_000, otpm: 8_000 },
    running: { rpm: 49, itpm: 29_998, otpm: 7_902 },
    after: { rpm: 49, itpm: 29_980, otpm: 7_988 },
  },
  {
    mode: 'mixed',
    model: 'gemini-2.5-flash',
    path: '/v1beta/models/gemini-2.5-flash:generateContent',
    full: { rpm: 1_000, tpm: 250_000, otpm: 20_000 },
    running: { rpm: 999, tpm: 249_900, otpm: 19_902 },
    after: { rpm: 999, tpm: 249_958, otpm: 19_988 },
  },
  {
    mode: 'weights',
    model: 'gpt-5',
    path: CHAT,
    full: { tpm: 100_000 },
    running: { tpm: 99_508 },
    after: { tpm: 99_919 },
  },
  {
    mode: 'burndown',
    model: 'us.anthropic.claude-sonnet-4-6',
    path: MESSAGES,
    full: { rpm: 10_000, tpm: 6_000_000 },
    running: { rpm: 9_999, tpm: 5_999_508 },
    after: { rpm: 9_999, tpm: 5_999_920 },
  },
  {
    mode: 'money',
    model: 'gpt-4o-mini',
    path: CHAT,
    full: { usd: 5_000_000 },
    running: { usd: 4_999_940 },
    after: { usd: 4_999_989 },
  },
])('limits of the mode $mode, as the page shows them', ({ model, path, full, running, after }) => {
  it.each([
    { as: 'in one piece', stream: false },
    { as: 'as a stream', stream: true },
  ])('charge a call by its estimate, and settle it by an answer $as', async ({ stream }) => {
    const entity = `caller-${stream}`;
    const left = () => bed.limiter().available({ entity, resource: model });
    expect(await left()).toEqual(full);
    const whileItRuns: unknown[] = [];
    const send = limitedFetch({
      limiter: bed.limiter(),
      entity,
      clock: bed.clock,
      async upstream(input, init) {
        whileItRuns.push(await left());
        return fromCache(await fetch(input, init));
      },
    });
    const isGemini = path.includes('gemini');
    const address = stream && isGemini ? path.replace('generateContent', 'streamGenerateContent?alt=sse') : path;
    const body = { model, messages: [{ role: 'user', content: PROMPT }], max_tokens: 98, stream };
    const answer = await send(upstream.url + address, { method: 'POST', body: JSON.stringify(isGemini ? GEMINI_BODY : body) });
    expect(answer.status).toBe(200);
    await answer.text();
    expect([whileItRuns, await left()]).toEqual([[running], after]);
  });
});
