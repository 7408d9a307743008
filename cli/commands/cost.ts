import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { costOfLoad, pricesIn, WAYS, type Way, withPrices } from '../../lib/cost/cost.js';
import { InvalidArgument } from '../../lib/errors.js';
import { type Answer, lines, table } from '../answer.js';
import type { Execute } from '../execute.js';

interface CostFlags {
  readonly requests: string;
  readonly levels?: string;
  readonly settle?: true;
  readonly via?: Way;
  readonly writesPerBatch?: string;
  readonly uncachedPercent?: string;
  readonly functionMs?: string;
  readonly region?: string;
  readonly prices?: string;
}

/** `headgate cost`: what a number of requests costs, by AWS's list prices. */
export function addCost(root: Command, execute: Execute): void {
  root
    .command('cost')
    .description('what so many requests cost at AWS, line by line, without free tiers; asks no database')
    .requiredOption('--requests <number>', 'how many: 250000, 10M, 1.5G')
    .option('--levels <number>', 'levels that each request draws on, 1 to 4; 1 unless told otherwise')
    .option('--settle', 'each is settled by what it really took')
    .addOption(new Option('--via <way>', 'how requests come: sdk, unless told otherwise').choices(WAYS))
    .option(
      '--writes-per-batch <number>',
      'writes of one bucket in a batch of the stream (1: hardly used buckets); 10 unless told otherwise',
    )
    .option('--uncached-percent <number>', 'requests whose limits are not cached, in percent; 1 unless told otherwise')
    .option(
      '--function-ms <number>',
      'how long a function runs for a request; 15, or 5000 for the gateway, unless told otherwise',
    )
    .option('--prices <file>', 'JSON: prices by name, in place of those of the region')
    .addHelpText(
      'after',
      `
Prices are known of us-east-1 (unless told otherwise), us-east-2 and us-west-2.

Examples:
  $ headgate cost --requests 10M --levels 2 --settle --region us-east-1
  $ headgate cost --requests 250000 --via gateway --settle --region us-west-2 --json`,
    )
    .action((_options: unknown, command: Command) =>
      execute(command, async (): Promise<Answer> => cost(command.optsWithGlobals<CostFlags>())),
    );
}

function cost(flags: CostFlags): Answer {
  const region = flags.region ?? 'us-east-1';
  const known = flags.prices === undefined ? pricesIn(region) : withPrices(pricesIn('us-east-1'), jsonOf(flags.prices));
  const { requests, levels, writesPerBatch, uncachedPercent, functionMs, settle = false, via = 'sdk' } = flags;
  const load = {
    requests: countOf(requests),
    levels: numberIn('levels', levels),
    writesPerBatch: numberIn('writes-per-batch', writesPerBatch),
    uncachedPercent: numberIn('uncached-percent', uncachedPercent),
    functionMs: numberIn('function-ms', functionMs),
    settle,
    via,
  };
  const { lines: bill, totalUsd } = costOfLoad(load, known);
  const { source, date } = known;
  const from = flags.prices === undefined ? `list prices of ${region}, ${date}` : `prices of ${flags.prices}`;
  return {
    json: { ...load, region: flags.prices === undefined ? region : null, source, date, lines: bill, totalUsd: rounded(totalUsd) },
    shown: [
      table(
        ['what', 'quantity', 'unit', 'price', '$'],
        [
          ...bill.map(({ what, quantity, unit, priceUsd, per, usd }) => [
            what,
            shown(quantity),
            unit,
            priceUsd === 0 ? '-' : `$${priceUsd}${per === 1 ? '' : ' a million'}`,
            usd.toFixed(2),
          ]),
          ['total', '', '', '', totalUsd.toFixed(2)],
        ],
      ),
      lines(`${from}, without free tiers`),
    ],
  };
}

const rounded = (usd: number): number => Math.round(usd * 1e6) / 1e6;
const shown = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: 3 });

const SUFFIXES: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9 };

/** `250000`, `10M`, `1.5G`. */
function countOf(text: string): number {
  const [, digits, suffix = ''] = /^(\d+(?:\.\d+)?)([kMG]?)$/.exec(text) ?? [];
  if (digits === undefined)
    throw new InvalidArgument({ field: 'requests', value: text, expected: 'a number, such as 250000, 10M or 1.5G' });
  return Math.round(Number(digits) * (SUFFIXES[suffix] ?? 1));
}

function numberIn(field: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d+(\.\d+)?$/.test(text)) throw new InvalidArgument({ field, value: text, expected: 'a number' });
  return Number(text);
}

function jsonOf(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new InvalidArgument({ field: 'prices', value: path, expected: 'a file of JSON', cause: error });
  }
}
