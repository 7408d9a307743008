/** Streams answers to questions: each caller may ask so often, and use so many tokens. */

import { HeadgateAdmin, Limit, RateLimiter } from 'headgate';
import { rateLimit } from 'headgate/hono';
import { limitedFetch } from 'headgate/llm';
import { type Context, Hono } from 'hono';
import { streamText } from 'hono/streaming';
import OpenAI from 'openai';

const tableName = process.env.HEADGATE_TABLE ?? 'headgate';
const model = 'gpt-4o-mini';

// Stored once, by whoever runs Headgate, for callers that have no limits of their own.
await new HeadgateAdmin({ tableName }).setLimits({ resource: model }, [Limit.perMinute('tpm', 10_000)]);

const limiter = new RateLimiter({ tableName, deadlineMs: 5_000 });

/** Put there by what authenticates callers. */
const callerOf = (c: Context) => c.req.header('x-caller');

/** A client whose calls a caller pays for. A caller may try again: the client does not. */
const clientOf = (entity: string) => new OpenAI({ fetch: limitedFetch({ limiter, entity }), maxRetries: 0 });

export const app = new Hono();

// At the door requests count; a caller without a name is answered 401.
app.use(rateLimit({ limiter, entity: callerOf, limits: [Limit.perMinute('rpm', 3)] }));

app.post('/ask', async (c) => {
  const messages = [{ role: 'user' as const, content: await c.req.text() }];
  const openai = clientOf(String(callerOf(c)));
  const answer = await openai.chat.completions.create({ model, messages, stream: true }, { signal: c.req.raw.signal });
  return streamText(c, async (body) => {
    for await (const { choices } of answer) await body.write(choices[0]?.delta.content ?? '');
  });
});

/** Tokens that a caller has no more of are an error of the client, which has the wait. */
app.onError((error, c) => {
  if (!(error instanceof OpenAI.RateLimitError)) {
    console.error(error);
    return c.text('Something went wrong', 500);
  }
  for (const name of ['retry-after', 'ratelimit', 'ratelimit-policy']) c.header(name, error.headers?.get(name) ?? undefined);
  return c.json({ error: error.error }, 429);
});
