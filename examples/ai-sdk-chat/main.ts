/** A chat on the terminal: each line is a question. Answers are streamed, and charged what they really cost. */
import { createInterface } from 'node:readline/promises';
import { openai } from '@ai-sdk/openai';
import { type ModelMessage, streamText, wrapLanguageModel } from 'ai';
import { HeadgateAdmin, Limit, RateLimitExceeded, RateLimiter } from 'headgate';
import { limitedModel } from 'headgate/llm';

const tableName = process.env.HEADGATE_TABLE ?? 'headgate';
const subject = { entity: 'chat', resource: 'gpt-4o-mini' };

// Stored once, by whoever runs Headgate: a new question every 20 seconds, three at once, and 2,000 tokens a minute.
await new HeadgateAdmin({ tableName }).setLimits(subject, [Limit.perMinute('rpm', 3), Limit.perMinute('tpm', 2_000)]);

const limiter = new RateLimiter({ tableName, deadlineMs: 10_000 });
const model = wrapLanguageModel({
  model: openai(subject.resource),
  middleware: limitedModel({ limiter, entity: subject.entity }),
});

const messages: ModelMessage[] = [];
for await (const content of createInterface({ input: process.stdin })) {
  const question: ModelMessage = { role: 'user', content };
  try {
    // Errors are parts of the stream.
    const answer = streamText({ model, messages: [...messages, question], onError: () => {} });
    for await (const part of answer.fullStream) {
      if (part.type === 'error') throw part.error;
      if (part.type === 'text-delta') process.stdout.write(part.text);
    }
    messages.push(question, ...(await answer.response).messages);
    const { totalTokens } = await answer.totalUsage;
    console.log(`\n[${totalTokens} tokens; left: ${JSON.stringify(await limiter.available(subject))}]`);
  } catch (error) {
    if (!(error instanceof RateLimitExceeded)) throw error;
    console.log(`[no more for now: ask again in ${Math.ceil(error.retryAfterMs / 1_000)} s]`);
  }
}
await limiter.close();
