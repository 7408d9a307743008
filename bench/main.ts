/**
 * `npm run bench`: runs every part against a DynamoDB Local of its own, prints what it found, and writes docs/benchmarks.md.
 *
 * - `--short` does less, for a look or for CI, and writes nothing.
 * - `--part NAME`, once or more, runs only those parts, and writes nothing.
 * - `--verify` ends with code 1 and the names of the targets that were missed, and writes nothing.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { startDynamo } from '../local/dynamodb.js';
import { authorizerColdStart } from './authorizer-cold-start.js';
import type { Bed } from './bed.js';
import { callsPerPath } from './calls-per-path.js';
import { reportOf } from './child.js';
import { exactness } from './exactness.js';
import { memory } from './memory.js';
import { benchmarksPage } from './page.js';
import { markdownSection, type Section } from './report.js';
import { retryStorm } from './retry-storm.js';
import { sdkOverhead } from './sdk-overhead.js';
import { simulatedContention } from './simulated-contention.js';
import type { TimedPart } from './timed-parts.js';

const timed = (args: TimedPart): Promise<Section> => reportOf<Section>({ script: './timed-parts.ts', args });

/** In the order of the page. */
const PARTS: Readonly<Record<string, (bed: Bed) => Promise<Section>>> = {
  calls: callsPerPath,
  exactness,
  'group-commit': ({ endpoint }) => timed({ part: 'group-commit', endpoint, short }),
  contention: simulatedContention,
  'retry-storm': retryStorm,
  'round-trip': ({ endpoint }) => timed({ part: 'round-trip', endpoint, short }),
  'first-byte': ({ endpoint }) => timed({ part: 'first-byte', endpoint, short }),
  'sdk-overhead': sdkOverhead,
  memory,
  'cold-start': authorizerColdStart,
  manifest: ({ endpoint }) => timed({ part: 'manifest', endpoint, short }),
};
const PAGE = new URL('../docs/benchmarks.md', import.meta.url);

// The README says it: the AWS SDK asks for Node 22 from January 2027. Not in every process of a run.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';

const { values: options } = parseArgs({
  options: {
    short: { type: 'boolean', default: false },
    part: { type: 'string', multiple: true, default: [] },
    verify: { type: 'boolean', default: false },
  },
});
const { short, part: chosen, verify } = options;
const unknown = chosen.filter((name) => !(name in PARTS));
if (unknown.length > 0) throw new Error(`no part ${unknown.join()}: choose from ${Object.keys(PARTS).join(', ')}`);

const started = { at: new Date(), ms: performance.now() };
const dynamo = await startDynamo();
const sections: Section[] = [];
try {
  const bed: Bed = { endpoint: dynamo.endpoint, sized: (full, few) => (short ? few : full) };
  for (const [name, part] of Object.entries(PARTS)) {
    if (chosen.length > 0 && !chosen.includes(name)) continue;
    const found = await part(bed);
    const section = { ...found, method: [...found.method, `This part alone: \`npm run bench -- --part ${name}\`.`] };
    console.log(`\n${markdownSection(section)}`);
    sections.push(section);
  }
} finally {
  await dynamo.stop();
}
const page = benchmarksPage(sections, { at: started.at, tookMs: performance.now() - started.ms });
console.log(`\n${page.targets}`);
if (!short && !verify && chosen.length === 0) await writeFile(PAGE, page.text);
const missed = sections.flatMap(({ targets }) => targets.filter(({ met }) => !met));
if (verify && missed.length > 0) {
  console.error(
    `\nTargets missed: ${missed.map(({ what, promised, measured }) => `${what}: ${measured}, not ${promised}`).join('; ')}`,
  );
  process.exitCode = 1;
}
