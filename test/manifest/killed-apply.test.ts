import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuditRecord } from '../../lib/config/audit.js';
import { storedEntityOf } from '../../lib/config/entity-record.js';
import { scopeContent } from '../../lib/config/scope-limits.js';
import { readThings } from '../../lib/manifest/read-things.js';
import { thingId, thingOf } from '../../lib/manifest/thing.js';
import { DynamoStore } from '../../lib/store/dynamo-store.js';
import { faults } from '../config/tree-faults.js';
import { createTestTable, testClient, testEndpoint } from '../support/dynamodb.js';
import { type TestBed, testBed } from '../support/stores.js';
import { seeded } from '../support/virtual-time.js';
import { manifests, reorganised } from './companies.js';
import type { Orders } from './dying-apply.js';

interface Profile {
  readonly entities: number;
  /** How often one is killed from nothing, and how often from one manifest to the next. */
  readonly fromNothing: number;
  readonly rounds: number;
  /** Calls of a first plan and apply; of the next ones where entities come back, and where they go. */
  readonly firstCalls: number;
  readonly nextCalls: readonly [number, number];
}

const SHORT: Profile = { entities: 40, fromNothing: 1, rounds: 2, firstCalls: 15, nextCalls: [14, 29] };
const LONG: Profile = { entities: 300, fromNothing: 20, rounds: 20, firstCalls: 55, nextCalls: [53, 156] };
const { entities: ENTITIES, fromNothing, rounds, firstCalls, nextCalls } = process.env.HEADGATE_LONG === undefined ? SHORT : LONG;
const LEASE_MS = 15_000;

let tableName: string;
let folder: string;
const script = () => join(folder, 'dying-apply.mjs');

beforeAll(async () => {
  tableName = await createTestTable();
  folder = await mkdtemp(join(tmpdir(), 'headgate-killed-apply-'));
  await build({
    entryPoints: [fileURLToPath(new URL('dying-apply.ts', import.meta.url))],
    outfile: script(),
    bundle: true,
    platform: 'node',
    format: 'esm',
    mainFields: ['module', 'main'],
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
});
afterAll(() => rm(folder, { recursive: true }));

/** What ended a process that planned and applied, and what it said. */
function applies(orders: Orders): Promise<{ readonly signal: NodeJS.Signals | null; readonly said: string }> {
  const child = spawn(process.execPath, [script(), JSON.stringify(orders)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (_code, signal) => resolve({ signal, said }));
  });
}

const freshBed = (): TestBed => testBed(new DynamoStore({ client: testClient(), tableName }));

const ordersOf = ({ namespace, clock }: TestBed, round: number, lastCall: number, lastHappens: boolean): Orders => ({
  endpoint: testEndpoint(),
  tableName,
  namespace,
  nowMs: Number(clock.nowNs() / 1_000_000n),
  actor: 'the killed',
  entities: ENTITIES,
  round,
  lastCall,
  lastHappens,
});

/** Applies the same again, once the lease of the killed has ended. */
async function finish(bed: TestBed, round: number) {
  bed.clock.advance(LEASE_MS);
  const door = manifests(bed, { actor: 'the survivor' });
  return door.apply(await door.plan(reorganised(ENTITIES, round), { prune: true }));
}

/** How a record in the history differs from the others of its thing, or from what is stored: each begins where the one before it ended. */
async function gaps(bed: TestBed): Promise<readonly string[]> {
  const histories = new Map<string, AuditRecord[]>();
  for (const record of [...(await bed.admin().audit({ limit: 10_000 }))].reverse()) {
    const id = record.action.startsWith('entity.')
      ? thingId({ kind: 'entity', entity: (record.target as { entity: string }).entity })
      : thingId({ kind: 'setting', scope: record.target as { system: true } });
    histories.set(id, [...(histories.get(id) ?? []), record]);
  }
  const exported = await manifests(bed).export();
  const ids = new Set([
    ...histories.keys(),
    ...exported.settings.map(({ scope }) => thingId({ kind: 'setting', scope })),
    ...exported.entities.map(({ entity }) => thingId({ kind: 'entity', entity })),
  ]);
  const found: string[] = [];
  for (const { thing, item, change } of await readThings(bed.store, bed.namespace, [...ids].map(thingOf))) {
    const id = thingId(thing);
    let last: unknown;
    for (const { from, to, action } of histories.get(id) ?? []) {
      if (!isDeepStrictEqual(own(from), own(last))) found.push(`${id}: ${action} does not begin where the one before it ended`);
      last = to;
    }
    const stored = JSON.parse(
      JSON.stringify((thing.kind === 'entity' ? storedEntityOf(item)?.record : scopeContent(item)) ?? null),
    );
    if (!isDeepStrictEqual(own(stored ?? undefined), own(last)))
      found.push(`${id}: its history does not end with what is stored`);
    if (item !== undefined && change !== histories.get(id)?.at(-1)?.id)
      found.push(`${id}: its last change is not in its history`);
  }
  return found;
}

/** A record without its ancestors: they follow what is changed above it. */
function own(state: unknown): unknown {
  const { ancestors: _, ...rest } = Object(state) as Record<string, unknown>;
  return rest;
}

async function expectConverged(bed: TestBed, round: number): Promise<void> {
  const door = manifests(bed);
  const wanted = reorganised(ENTITIES, round);
  expect(await door.plan(wanted, { prune: true })).toMatchObject({ steps: [], kept: [] });
  expect(await door.drift()).toEqual([]);
  expect((await door.export()).entities).toHaveLength(wanted.entities.length);
  expect({ faults: (await faults(bed)).slice(0, 3) }).toEqual({ faults: [] });
  expect({ gaps: (await gaps(bed)).slice(0, 3) }).toEqual({ gaps: [] });
}

describe(`an apply of ${ENTITIES} entities`, () => {
  it('that nobody kills makes as many calls as the kills below are drawn from', async () => {
    const bed = freshBed();

    const { signal, said } = await applies(ordersOf(bed, 0, 0, true));

    expect(signal).toBeNull();
    expect(JSON.parse(said)).toEqual({ calls: firstCalls, result: { applied: true, revision: 1 } });
    await expectConverged(bed, 0);
  }, 120_000);

  it.each(Array.from({ length: fromNothing }, (_, index) => index + 1))(
    'from nothing, killed at a random point (seed %i), leaves whole entities with their history, and is finished by the next',
    async (seed) => {
      const random = seeded(seed);
      const bed = freshBed();
      const lastCall = 1 + Math.floor(random() * firstCalls);

      const { signal } = await applies(ordersOf(bed, 0, lastCall, random() < 0.5));

      expect(signal).toBe('SIGKILL');
      // Limits come before their entities, and are listed.
      expect((await faults(bed)).filter((fault) => !fault.endsWith('is listed and not there'))).toEqual([]);
      expect(await gaps(bed)).toEqual([]);
      expect(await finish(bed, 0)).toMatchObject({ applied: true });
      await expectConverged(bed, 0);
    },
    120_000,
  );

  it(
    `from one manifest to the next, killed at ${rounds} random points, converges each time`,
    async () => {
      const random = seeded(42);
      const bed = freshBed();
      await finish(bed, 0);
      for (let round = 1; round <= rounds; round += 1) {
        bed.clock.advance(1_000);
        const lastCall = 1 + Math.floor(random() * nextCalls[round % 2 === 0 ? 0 : 1]);
        const { signal } = await applies(ordersOf(bed, round, lastCall, random() < 0.5));
        expect({ round, lastCall, signal }).toEqual({ round, lastCall, signal: 'SIGKILL' });
        expect(await gaps(bed)).toEqual([]);
        expect(await finish(bed, round)).toMatchObject({ applied: true });
        await expectConverged(bed, round);
      }
    },
    60_000 * rounds,
  );
});
