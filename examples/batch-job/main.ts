/** A batch in two lanes: what people wait for goes first, the rest takes what is left. Calls wait for their turn; none is refused. */
import { HeadgateAdmin, Limit, RateLimiter } from 'headgate';
import { limitedFetch } from 'headgate/llm';
import OpenAI from 'openai';

const tableName = process.env.HEADGATE_TABLE ?? 'headgate';
const entity = 'batch-job';
const model = 'gpt-4o-mini';
const HOUR_MS = 3_600_000;

// Stored once, by whoever runs Headgate. With priorities, calls of low priority leave half of each limit to the others.
await new HeadgateAdmin({ tableName }).setLimits(
  { entity, resource: model },
  [Limit.perSecond('rps', 20), Limit.perMinute('tpm', 100_000)],
  { priorities: true },
);

const limiter = new RateLimiter({ tableName, deadlineMs: 30_000 });
const startedMs = Date.now();
const elapsed = () => `${((Date.now() - startedMs) / 1_000).toFixed(1)} s`;

/** Makes a call for each question, all at once: when each is sent, the limits say. The tokens that they used. */
async function lane(priority: 'high' | 'low', questions: readonly string[]): Promise<number> {
  // The client's timeout counts the waiting too.
  const openai = new OpenAI({ fetch: limitedFetch({ limiter, entity, priority, maxWaitMs: HOUR_MS }), timeout: 2 * HOUR_MS });
  let done = 0;
  let tokens = 0;
  const ask = async (content: string) => {
    const { usage } = await openai.chat.completions.create({ model, messages: [{ role: 'user', content }] });
    tokens += usage?.total_tokens ?? 0;
    done += 1;
    if (done % 10 === 0) console.log(`${elapsed()}  ${priority.padEnd(4)}  ${done} of ${questions.length}`);
  };
  await Promise.all(questions.map(ask));
  return tokens;
}

const [low, high] = await Promise.all([
  lane(
    'low',
    Array.from({ length: 20 }, (_, index) => `Summarise document ${index + 1}`),
  ),
  lane(
    'high',
    Array.from({ length: 20 }, (_, index) => `Answer customer ${index + 1}`),
  ),
]);
console.log(`${elapsed()}  done, ${low + high} tokens`);
await limiter.close();
