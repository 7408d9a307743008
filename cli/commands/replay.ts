import type { Command } from 'commander';
import { InvalidArgument } from '../../lib/errors.js';
import { DynamoReplayRows } from '../../lib/usage/dynamo-replay-rows.js';
import { type Answer, lines, table } from '../answer.js';
import type { GlobalOptions } from '../connection.js';
import type { Execute } from '../execute.js';
import { EXIT } from '../exit-codes.js';
import { readGivenUpRecords } from '../given-up-records.js';
import { messageQueue } from '../message-queue.js';
import { progress } from '../progress.js';
import { type ReplayTotals, replayMessages } from '../replay-messages.js';

interface ReplayFlags {
  readonly queue: string;
  readonly dryRun?: true;
  readonly countMoved?: true;
}

/** `headgate replay`: books what the aggregator set aside, of all namespaces. */
export function addReplay(root: Command, execute: Execute): void {
  root
    .command('replay')
    .description('count records of the stream that the aggregator set aside, or that Lambda gave up: each once, however often')
    .requiredOption('--queue <url>', 'the queue that they wait in: UnbookedQueueUrl of the stack')
    .option('--dry-run', 'only say what would be counted; the messages stay')
    .option(
      '--count-moved',
      'count what Lambda gave up also in rows that have counted later records; right only where nothing of it was counted, as when the table was out of reach',
    )
    .addHelpText(
      'after',
      '\nExample:\n  $ headgate replay --queue https://sqs.eu-west-1.amazonaws.com/123456789012/headgate-unbooked --dry-run',
    )
    .action((_options: unknown, command: Command) =>
      execute(command, async ({ client, tableName }) => {
        const { queue: url, dryRun = false, countMoved = false } = command.opts<ReplayFlags>();
        if (!/^https?:\/\/\S+$/.test(url))
          throw new InvalidArgument({ field: '--queue', value: url, expected: 'the URL of an SQS queue' });
        const { endpoint, region, json } = command.optsWithGlobals<GlobalOptions>();
        const queue = await messageQueue(url, region);
        const shown = progress('replay', { total: await queue.waiting(), silent: json });
        try {
          const rows = new DynamoReplayRows(client, tableName);
          const readGivenUp = (given: Parameters<typeof readGivenUpRecords>[0]) =>
            readGivenUpRecords(given, { endpoint, region });
          return answerOf(await replayMessages({ queue, rows, readGivenUp, tableName, dryRun, countMoved }, shown), dryRun);
        } finally {
          shown.end();
          queue.close();
        }
      }),
    );
}

function answerOf(totals: ReplayTotals, dryRun: boolean): Answer {
  const { messages, records, counted, replayedBefore, left } = totals;
  const sentence = dryRun
    ? `${messages} messages with ${records} records would be counted in ${counted} rows, those replayed before among them.`
    : `${messages} messages with ${records} records: ${counted} rows counted, ${replayedBefore} replayed before, ${left.length} messages left.`;
  return {
    json: { ...totals, dryRun },
    shown: [
      lines({ text: sentence, tone: left.length === 0 ? 'good' : 'warning' }),
      ...(left.length === 0
        ? []
        : [
            table(
              ['left', 'because'],
              left.map(({ message, reason }) => [message, reason]),
            ),
          ]),
    ],
    exitCode: left.length === 0 ? EXIT.done : EXIT.failed,
  };
}
