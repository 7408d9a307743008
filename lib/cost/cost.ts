import { InvalidArgument } from '../errors.js';
import { PRICE_LISTS, type PriceList } from './price-list.js';

/** How requests come to Headgate: a program with the SDK, the HTTP API, the authorizer before an API of your own, or the gateway. */
export const WAYS = ['sdk', 'api', 'authorizer', 'gateway'] as const;
export type Way = (typeof WAYS)[number];

/** What is to be paid for. */
export interface Load {
  /** An integer from 0. */
  readonly requests: number;
  /** Levels that each request draws on: an entity, and those that it cascades to; 1 to 4. @default 1 */
  readonly levels?: number | undefined;
  /** Whether each request is settled by what it really took. @default false */
  readonly settle?: boolean | undefined;
  /** @default 'sdk' */
  readonly via?: Way | undefined;
  /** Writes of one bucket that the aggregator finds in a batch, on average: 1 where nobody calls twice in five seconds; 1 to 1,000. @default 10 */
  readonly writesPerBatch?: number | undefined;
  /** Of the requests, how many meet limits that their process has not cached, in percent: 0 to 100. @default 1 */
  readonly uncachedPercent?: number | undefined;
  /** How long a function runs for a request, in milliseconds, from 1; the gateway's until the answer has ended. @default 15; the gateway's 5000 */
  readonly functionMs?: number | undefined;
}

/** One line of a bill. */
export interface CostLine {
  readonly what: string;
  readonly quantity: number;
  readonly unit: string;
  /** Of so many units. */
  readonly priceUsd: number;
  readonly per: 1 | 1_000_000;
  readonly usd: number;
}

export interface Cost {
  readonly lines: readonly CostLine[];
  readonly totalUsd: number;
}

/** Read units of a first acquire whose limits are stored and not cached, as docs/benchmarks.md measured. */
const UNCACHED_READ_UNITS = 2.5;
/** Rows of usage that a bucket has: its hour, day and month, with its entity, its resource and its namespace. */
const ROWS_A_BUCKET = 9;
/** A transaction writes each item for two units. */
const TRANSACTION_UNITS = 2;
/** Of a batch, as it is where load is steady: up to 1,000. */
const RECORDS_AN_AGGREGATION = 100;
const ADMISSION_MS = 15;
/** As the constructs make the functions. */
const GIGABYTES = { api: 0.5, authorizer: 1, gateway: 0.5, aggregator: 0.5 };
/** A line of metrics, and the three that Lambda writes itself. */
const LOG_BYTES_AN_INVOCATION = 900;

/** What a load costs by a list of prices: DynamoDB on demand, functions, API calls, logs. Throws `InvalidArgument`. */
export function costOfLoad(load: Load, prices: PriceList): Cost {
  const { requests, levels = 1, settle = false, via = 'sdk', writesPerBatch = 10, uncachedPercent = 1 } = load;
  const functionMs = load.functionMs ?? (via === 'gateway' ? 5_000 : ADMISSION_MS);
  inRange('requests', requests, 0, Number.MAX_SAFE_INTEGER);
  inRange('levels', levels, 1, 4);
  inRange('writesPerBatch', writesPerBatch, 1, 1_000);
  inRange('uncachedPercent', uncachedPercent, 0, 100, 'number');
  inRange('functionMs', functionMs, 1, 900_000);

  // The gateway draws on the provider's limits and the model's.
  const acquires = requests * (via === 'gateway' ? 2 : 1);
  const acquired = acquires * levels;
  const settledBuckets = settle ? acquired : 0;
  const closing = settle && via === 'api' ? requests * TRANSACTION_UNITS * (1 + levels) : settledBuckets;
  const changes = acquired + settledBuckets;
  const calls = via === 'sdk' ? 0 : requests * (via === 'api' && settle ? 2 : 1);
  const runs = functionRuns(via, calls, functionMs, changes);
  const invoked = runs.reduce((sum, { times }) => sum + times, 0);
  const gigabyteSeconds = runs.reduce((sum, { times, ms, gigabytes }) => sum + (times * ms * gigabytes) / 1_000, 0);

  const unitPrice = prices.dynamoDbPerMillionWriteUnits;
  const lines = [
    line('acquire', acquired, 'write units', unitPrice),
    line(via === 'api' ? 'settle, in a transaction' : 'settle', closing, 'write units', unitPrice),
    line('usage rows', (changes * ROWS_A_BUCKET) / writesPerBatch, 'write units', unitPrice),
    line(
      'limits that are not cached',
      (acquires * uncachedPercent * UNCACHED_READ_UNITS) / 100,
      'read units',
      prices.dynamoDbPerMillionReadUnits,
    ),
    line('stream, read by Lambda', changes, 'records', 0),
    line('function calls', invoked, 'calls', prices.lambdaPerMillionRequests),
    line('function time', gigabyteSeconds, 'GB-seconds', prices.lambdaPerGbSecond, 1),
    line('API Gateway', calls, 'calls', prices.apiGatewayPerMillionCalls),
    line('logs', (invoked * LOG_BYTES_AN_INVOCATION) / 1e9, 'GB', prices.logsPerGb, 1),
  ];
  return { lines, totalUsd: lines.reduce((sum, { usd }) => sum + usd, 0) };
}

interface Runs {
  readonly times: number;
  readonly ms: number;
  readonly gigabytes: number;
}

/** The functions that run, the aggregator among them: it does so for every change of a bucket. */
function functionRuns(via: Way, calls: number, functionMs: number, changes: number): readonly Runs[] {
  const aggregator = { times: changes / RECORDS_AN_AGGREGATION, ms: 100, gigabytes: GIGABYTES.aggregator };
  if (via === 'sdk') return [aggregator];
  const own = { times: calls, ms: functionMs, gigabytes: GIGABYTES[via] };
  if (via !== 'gateway') return [aggregator, own];
  return [aggregator, own, { times: calls, ms: ADMISSION_MS, gigabytes: GIGABYTES.authorizer }];
}

const line = (what: string, quantity: number, unit: string, priceUsd: number, per: 1 | 1_000_000 = 1_000_000): CostLine => ({
  what,
  quantity,
  unit,
  priceUsd,
  per,
  usd: (quantity * priceUsd) / per,
});

/** The prices of a region. Throws `InvalidArgument` for one whose prices are not known. */
export function pricesIn(region: string): PriceList {
  const prices = Object.hasOwn(PRICE_LISTS, region) ? PRICE_LISTS[region] : undefined;
  if (prices !== undefined) return prices;
  const known = Object.keys(PRICE_LISTS).join(', ');
  throw new InvalidArgument({
    field: 'region',
    value: region,
    expected: `one whose prices are known (${known}), or prices of your own`,
  });
}

/** A list of prices, with some of another's fields in place of its own. Throws `InvalidArgument` for a field that is none, or no price. */
export function withPrices(prices: PriceList, given: unknown): PriceList {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new InvalidArgument({ field: 'prices', value: given, expected: 'an object of prices by name' });
  const { source: _source, date: _date, ...numbers } = prices;
  for (const [field, value] of Object.entries(given)) {
    if (field === 'source' || field === 'date') continue;
    if (!Object.hasOwn(numbers, field))
      throw new InvalidArgument({ field: `prices.${field}`, value, expected: `one of ${Object.keys(numbers).join(', ')}` });
    if (typeof value !== 'number' || !(value >= 0 && value < Number.POSITIVE_INFINITY))
      throw new InvalidArgument({ field: `prices.${field}`, value, expected: 'dollars, a number from 0' });
  }
  return { ...prices, ...(given as Partial<PriceList>) };
}

function inRange(field: string, value: number, least: number, most: number, kind: 'integer' | 'number' = 'integer'): void {
  if (typeof value === 'number' && value >= least && value <= most && (kind === 'number' || Number.isInteger(value))) return;
  throw new InvalidArgument({
    field,
    value,
    expected: `${kind === 'integer' ? 'an integer' : 'a number'} from ${least} to ${most}`,
  });
}
