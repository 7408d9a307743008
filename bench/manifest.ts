import { Limit } from '../lib/index.js';
import type { Manifest } from '../lib/manifest/manifest.js';
import { ManifestAdmin } from '../lib/manifest/manifest-admin.js';
import { readManifest } from '../lib/manifest/read-manifest.js';
import { manifestText } from '../lib/manifest/write-manifest.js';
import { type Bed, benchClient, headgateTable } from './bed.js';
import { CallCounter } from './call-counter.js';
import { type Section, shown } from './report.js';

const MOST_PLAN_SECONDS = 10;
const NAMESPACE = 'bench';

/** A manifest of thousands of entities, from its text to the table and back. */
export async function manifest({ endpoint, sized }: Bed): Promise<Section> {
  const entities = sized(10_000, 500);
  const client = benchClient(endpoint);
  const door = new ManifestAdmin({ client, tableName: await headgateTable(client), namespace: NAMESPACE });
  const counter = new CallCounter(client);
  const rows: string[][] = [];
  const wanted = manifestOf(entities);
  const text = manifestText(wanted);

  const first = await timed('plan against an empty table', () => planOf(text));
  await timed('apply', async () => {
    const result = await door.apply(first.result);
    if (!result.applied) throw new Error(`not applied: ${JSON.stringify(result.conflicts)}`);
  });
  const second = await timed('plan of what is stored', () => planOf(text));
  const exported = await timed('export', async () => manifestText(await door.export()));
  const last = await timed('plan of what was exported', () => planOf(exported.result));
  client.destroy();

  const slowest = Math.max(first.seconds, second.seconds, last.seconds);
  const left = second.result.steps.length + last.result.steps.length;
  return {
    title: `A manifest of ${shown(entities)} entities`,
    method: [
      `${shown(entities)} entities on three levels, each of a tier, one in ten with limits of its own: ${shown(first.result.steps.length)} things, ${shown(text.length / 1_024)} KiB of YAML. A plan is timed from the text, as \`headgate limits plan\` makes it: reading and checking it included. An export is timed to its text. Units of transactions are counted as AWS charges them, twice for each item.`,
    ],
    tables: [{ title: '', columns: ['step', 'seconds', 'calls', 'WCU', 'RCU', 'steps planned'], rows }],
    remarks: [
      'An apply writes each entity with its history, its line in the directory and its line among the managed things, and one fence a transaction: none of it happens without the rest.',
      'An export asks for the limits of each entity: a call an entity, many at a time.',
    ],
    targets: [
      {
        what: `manifest of ${shown(entities)} entities: a plan`,
        promised: `under ${MOST_PLAN_SECONDS} s`,
        measured: `${shown(slowest, 1)} s`,
        met: slowest < MOST_PLAN_SECONDS,
      },
      {
        what: `manifest of ${shown(entities)} entities: steps of the plan after apply, and after export`,
        promised: '0',
        measured: shown(left),
        met: left === 0,
      },
    ],
  };

  async function planOf(yaml: string) {
    const read = readManifest(yaml, { file: 'headgate.yaml' });
    if ('problems' in read) throw new Error(JSON.stringify(read.problems.slice(0, 3)));
    return door.plan(read.manifest);
  }

  async function timed<T>(step: string, work: () => Promise<T>): Promise<{ readonly result: T; readonly seconds: number }> {
    counter.take();
    const started = performance.now();
    const result = await work();
    const seconds = (performance.now() - started) / 1_000;
    const { calls, writeUnits, readUnits } = counter.take();
    const planned = step.startsWith('plan') ? shown((result as { readonly steps: readonly unknown[] }).steps.length) : '-';
    rows.push([step, shown(seconds, 1), shown(calls), shown(writeUnits), shown(readUnits, 1), planned]);
    return { result, seconds };
  }
}

/** A tenth of the entities are customers and their teams; all others are keys of a team. */
function manifestOf(entities: number): Manifest {
  const customers = entities / 100;
  const teams = entities / 10;
  const members = Array.from({ length: entities }, (_, index) => {
    if (index < customers) return { entity: `customer-${index}`, tier: 'pro', name: `Customer ${index}` };
    if (index < teams) return { entity: `team-${index}`, parent: `customer-${index % customers}`, tier: 'pro' };
    return { entity: `key-${index}`, parent: `team-${customers + (index % (teams - customers))}`, tier: 'free' };
  });
  const limits = [Limit.perMinute('rpm', 60), Limit.perMinute('tpm', 100_000)];
  return {
    namespace: undefined,
    settings: [
      { scope: { system: true }, limits, options: { defaultTier: 'free' } },
      { scope: { resource: 'gpt-4o' }, limits, options: { shards: 4, prices: { input: 2.5, cachedInput: 1.25, output: 10 } } },
      { scope: { tier: 'free' }, limits, options: { allowedResources: ['gpt-4o-mini*'] } },
      { scope: { tier: 'pro' }, limits, options: {} },
      ...members.slice(0, teams).map(({ entity }) => ({ scope: { entity, resource: 'gpt-4o' }, limits, options: {} })),
    ],
    entities: members,
  };
}
