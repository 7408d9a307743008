/** Streams answers to questions, each caller within limits of its own. */

import { HeadgateAdmin, Limit, RateLimiter } from 'headgate';
import { limitedFetch } from 'headgate/llm';
import { Hono } from 'hono';
import { streamText } from 'hono/streaming';
import OpenAI from 'openai';

const tableName = process.env.HEADGATE_TABLE ?? 'headgate';
const model = 'gpt-4o-mini';

// Stored once, by whoever runs Headgate: of each caller that has no limits of its own.
await new HeadgateAdmin({ tableName }).setLimits({ resource: model }, [
  Limit.perMinute('rpm', 3),
  Limit.perMinute('tpm', 10_000),
]);

const limiter = new RateLimiter({ tableName, deadlineMs: 5_000 });

/** A client whose calls a caller pays for. Whoever called may try again: the client does not. */
const clientOf = (entity: string) => new OpenAI({ fetch: limitedFetch({ limiter, entity }), maxRetries: 0 });

export const app = new Hono();

app.post('/ask', async (c) => {
  // Put there by what authenticates callers.
  const caller = c.req.header('x-caller');
  if (caller === undefined) return c.text('Who are you?', 401);
  const messages = [{ role: 'user' as const, content: await c.req.text() }];
  const answer = await clientOf(caller).chat.completions.create({ model, messages, stream: true }, { signal: c.req.raw.signal });
  return streamText(c, async (body) => {
    for await (const { choices } of answer) await body.write(choices[0]?.delta.content ?? '');
  });
});

app.onError((error, c) => {
  if (!(error instanceof OpenAI.RateLimitError)) {
    console.error(error);
    return c.text('Something went wrong', 500);
  }
  for (const name of ['retry-after', 'ratelimit', 'ratelimit-policy']) c.header(name, error.headers?.get(name) ?? undefined);
  return c.json({ error: error.error }, 429);
});
