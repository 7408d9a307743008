import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type BuildOptions, build, type Metafile } from 'esbuild';
import type { Bed } from './bed.js';
import { reportOf } from './child.js';
import type { ColdStartArguments } from './cold-start-process.js';
import { ascending, median, quantile } from './latency.js';
import { type Section, shown } from './report.js';

const MOST_RATIO = 1.25;
const BARE = 'bench/bare-handler.ts';

/** One handler as it would be deployed. */
interface Bundle {
  readonly name: string;
  readonly entry: string;
  /** What a cold start reads: the entry and what it imports at once. */
  readonly loadedBytes: number;
  /** All files that are deployed. */
  readonly deployedBytes: number;
}

interface Bundling {
  readonly BUNDLED: BuildOptions;
  readonly bundleAuthorizer: (outdir: string, entry?: string) => Promise<Metafile>;
}

/** What the authorizer's bundle weighs, and how long it takes to load, beside a handler that only holds a DynamoDBClient. */
export async function authorizerColdStart({ sized }: Bed): Promise<Section> {
  const directory = mkdtempSync(join(tmpdir(), 'headgate-cold-start-'));
  try {
    const bundles = await bundled(directory);
    const tookMs = await loaded(bundles, sized(40, 8));
    const [authorizer, bare] = bundles as [Bundle, Bundle];
    const ratios = bundles.map((_, index) => median((tookMs[0] ?? []).map((ms, round) => ms / (tookMs[index]?.[round] ?? 0))));
    return {
      title: 'A cold start of the authorizer',
      method: [
        'The bundle that is deployed, against a handler that does nothing but construct a `DynamoDBClient`, bundled as usual: one file by esbuild, minified, with all of the client. Bytes loaded are those of the entry and of what it imports at once; the rest of the bundle is loaded by the calls that need it. Times are from `import` to the answer of a first request that needs no database (a missing key, a 401), each in a new process, the handlers by turns; ratios are medians of the rounds’ ratios.',
      ],
      tables: [
        {
          title: '',
          columns: ['handler', 'bytes loaded', 'bytes deployed', 'median ms', 'p90 ms'],
          rows: bundles.map(({ name, loadedBytes, deployedBytes }, index) => [
            name,
            shown(loadedBytes),
            shown(deployedBytes),
            shown(median(tookMs[index] ?? []), 1),
            shown(quantile(ascending(tookMs[index] ?? []), 0.9), 1),
          ]),
        },
      ],
      remarks: [
        `Why it is no larger: the authorizer’s bundle leaves out ways to credentials that Lambda never goes. A bare handler bundled with the same care is smaller still: the authorizer loads ${shown(authorizer.loadedBytes / (bundles[2]?.loadedBytes ?? 0), 2)} x its bytes in ${shown(ratios[2] ?? 0, 2)} x its time.`,
        'Lambda adds its own time before the first line of any handler; it is not in these numbers.',
      ],
      targets: [
        target('authorizer, bytes loaded by a cold start', authorizer.loadedBytes / bare.loadedBytes),
        target('authorizer, bytes deployed', authorizer.deployedBytes / bare.deployedBytes),
        target('authorizer, time to load and refuse a first request', ratios[1] ?? Number.NaN),
      ],
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function bundled(directory: string): Promise<readonly Bundle[]> {
  const module: string = pathToFileURL(fileURLToPath(new URL('../authorizer-bundle.mjs', import.meta.url))).href;
  const { BUNDLED, bundleAuthorizer } = (await import(module)) as Bundling;
  const at = (name: string) => join(directory, name);
  const { metafile } = await build({ ...BUNDLED, entryPoints: [{ in: BARE, out: 'index' }], outdir: at('bare'), metafile: true });
  return [
    weighed('the authorizer', at('authorizer'), await bundleAuthorizer(at('authorizer'))),
    weighed('a DynamoDBClient alone, bundled as usual', at('bare'), metafile),
    weighed('a DynamoDBClient alone, bundled as the authorizer is', at('lean'), await bundleAuthorizer(at('lean'), BARE)),
  ];
}

function weighed(name: string, directory: string, { outputs }: Metafile): Bundle {
  const entry = join(directory, 'index.mjs');
  const loaded = new Set<string>();
  const load = (path: string): void => {
    const output = outputs[path];
    if (output === undefined || loaded.has(path)) return;
    loaded.add(path);
    for (const { kind, path: next } of output.imports) if (kind === 'import-statement') load(next);
  };
  load(relative('.', entry));
  const bytes = (paths: Iterable<string>) => [...paths].reduce((sum, path) => sum + statSync(path).size, 0);
  return {
    name,
    entry,
    loadedBytes: bytes(loaded),
    deployedBytes: bytes(readdirSync(directory).map((file) => join(directory, file))),
  };
}

/** Milliseconds of each bundle in each round; a first round warms the file system and is not counted. */
async function loaded(bundles: readonly Bundle[], rounds: number): Promise<readonly (readonly number[])[]> {
  const tookMs: number[][] = bundles.map(() => []);
  for (let round = -1; round < rounds; round += 1) {
    for (const [index, { entry }] of bundles.entries()) {
      const args: ColdStartArguments = { bundle: entry };
      const ms = await reportOf<number>({ script: './cold-start-process.ts', args, env: ENVIRONMENT });
      if (round >= 0) tookMs[index]?.push(ms);
    }
  }
  return tookMs;
}

/** As Lambda sets it. */
const ENVIRONMENT = {
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'none',
  AWS_SECRET_ACCESS_KEY: 'none',
  HEADGATE_TABLE: 'headgate',
  HEADGATE_LEASE_KEY: 'the signing key of this benchmark',
};

const target = (what: string, ratio: number) => ({
  what,
  promised: `at most ${shown(MOST_RATIO, 2)} x a handler that only holds a DynamoDBClient`,
  measured: `${shown(ratio, 2)} x`,
  met: ratio <= MOST_RATIO,
});
