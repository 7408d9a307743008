/** The paths that are counted: each made ready first, then the calls of its last step. */
import { randomUUID } from 'node:crypto';
import type { DynamoDB } from '@aws-sdk/client-dynamodb';
import { RateLimiterUnion } from 'rate-limiter-flexible';
import { FakeClock, HeadgateAdmin, Limit, RateLimiter } from '../lib/index.js';
import { consumed, type PeerOptions, peerLimiter } from './peer.js';

/** Makes ready, and returns what is counted. */
export type Prepared = () => Promise<() => Promise<unknown>>;

export interface Path {
  readonly name: string;
  readonly headgate: Prepared;
  /** Undefined: it has no such path. */
  readonly peer?: Prepared;
}

/** Eight limits by the names that LLM providers use. */
const NAMES = ['rpm', 'tpm', 'itpm', 'otpm', 'rpd', 'tpd', 'images', 'batches'] as const;
/** A name of 23 characters. */
export const RESOURCE = 'anthropic.claude-sonnet';
const HALF_A_MINUTE_MS = 30_000;
const CAPACITY = 10_000;
const COST = 10;
const DEADLINE_MS = 30_000;

export const firstLimits = (count: number): readonly Limit[] =>
  NAMES.slice(0, count).map((name) => Limit.perMinute(name, CAPACITY));

/** The same cost on each limit. */
export const costs = (limits: readonly Limit[], cost = COST) => Object.fromEntries(limits.map(({ name }) => [name, cost]));

/** A namespace of its own, with limiters that see only it. */
export function headgate(client: DynamoDB, tableName: string) {
  const clock = new FakeClock();
  const namespace = `bench-${randomUUID()}`;
  const parts = { client, tableName, namespace, clock };
  const process = () => new RateLimiter({ ...parts, deadlineMs: DEADLINE_MS });
  return { clock, namespace, limiter: process(), process, admin: new HeadgateAdmin(parts) };
}

const subject = (limits: readonly Limit[]) => ({ entity: randomUUID(), resource: RESOURCE, limits });
const request = (limits: readonly Limit[], cost?: number) => ({ ...subject(limits), consume: costs(limits, cost) });

export function paths(client: DynamoDB, headgateTable: string, peerTable: string): readonly Path[] {
  const bed = () => headgate(client, headgateTable);
  const peer = (options: Partial<PeerOptions> = {}) =>
    peerLimiter({ client, tableName: peerTable, points: CAPACITY, ...options });
  const two = firstLimits(2);

  const warm = (count: number): Path => ({
    name: `warm acquire, ${count === 1 ? '1 limit' : `${count} limits`}`,
    headgate: async () => {
      const { limiter } = bed();
      const one = request(firstLimits(count));
      await limiter.acquire(one);
      return () => limiter.acquire(one);
    },
    peer: async () => {
      const union = new RateLimiterUnion(...Array.from({ length: count }, () => peer()));
      await union.consume('key', COST);
      return () => union.consume('key', COST);
    },
  });

  return [
    ...[1, 2, 4, 8].map(warm),
    {
      name: 'first acquire of an entity, limits in the code',
      headgate: async () => {
        const { limiter } = bed();
        return () => limiter.acquire(request(two));
      },
      peer: async () => {
        const limiter = peer();
        return () => limiter.consume('key', COST);
      },
    },
    {
      name: 'first acquire of an entity, limits stored, cached here',
      headgate: async () => {
        const { limiter, admin } = bed();
        await admin.setLimits({ system: true }, two);
        const subject = { entity: randomUUID(), resource: RESOURCE };
        await limiter.limits(subject);
        return () => limiter.acquire({ ...subject, consume: costs(two) });
      },
    },
    {
      name: 'first acquire of an entity, limits stored, not cached',
      headgate: async () => {
        const { limiter, admin } = bed();
        await admin.setLimits({ system: true }, two);
        return () => limiter.acquire({ entity: randomUUID(), resource: RESOURCE, consume: costs(two) });
      },
    },
    {
      name: 'first acquire of a process on a bucket that others use',
      headgate: async () => {
        const { limiter, process } = bed();
        const one = request(two);
        await limiter.acquire(one);
        return () => process().acquire(one);
      },
      peer: async () => {
        const keyPrefix = randomUUID();
        await peer({ keyPrefix }).consume('key', COST);
        return () => peer({ keyPrefix }).consume('key', COST);
      },
    },
    {
      name: 'acquire on a drained bucket after a refill',
      headgate: async () => {
        const { limiter, clock } = bed();
        const all = request(two, CAPACITY);
        await limiter.acquire(all);
        clock.advance(HALF_A_MINUTE_MS);
        return () => limiter.acquire({ ...all, consume: costs(two) });
      },
      peer: async () => {
        const limiter = peer({ durationSeconds: 1 });
        await limiter.consume('key', CAPACITY);
        await new Promise((resolve) => setTimeout(resolve, 1_100));
        return () => limiter.consume('key', COST);
      },
    },
    {
      name: 'denied',
      headgate: async () => {
        const { limiter } = bed();
        const all = request(two, CAPACITY);
        await limiter.acquire(all);
        return () => limiter.tryAcquire({ ...all, consume: costs(two) });
      },
      peer: async () => {
        const limiter = peer();
        await limiter.consume('key', CAPACITY);
        return () => consumed(limiter, 'key', COST);
      },
    },
    {
      name: 'denied once more, within 250 ms',
      headgate: async () => {
        const { limiter } = bed();
        const all = request(two, CAPACITY);
        await limiter.acquire(all);
        await limiter.tryAcquire({ ...all, consume: costs(two) });
        return () => limiter.tryAcquire({ ...all, consume: costs(two) });
      },
      peer: async () => {
        const limiter = peer();
        await limiter.consume('key', CAPACITY);
        await consumed(limiter, 'key', COST);
        return () => consumed(limiter, 'key', COST);
      },
    },
    {
      name: 'settle alone',
      headgate: async () => {
        const lease = await bed().limiter.acquire(request(two));
        return () => lease.settle(costs(two, 3 * COST));
      },
      peer: async () => {
        const limiter = peer();
        await limiter.consume('key', COST);
        return () => limiter.penalty('key', 2 * COST);
      },
    },
    {
      name: 'release alone',
      headgate: async () => {
        const lease = await bed().limiter.acquire(request(two));
        return () => lease.release();
      },
      peer: async () => {
        const limiter = peer();
        await limiter.consume('key', COST);
        return () => limiter.reward('key', COST);
      },
    },
    {
      name: 'acquire + settle',
      headgate: async () => {
        const { limiter } = bed();
        const one = request(two);
        await limiter.acquire(one);
        return async () => (await limiter.acquire(one)).settle(costs(two, 3 * COST));
      },
      peer: async () => {
        const limiter = peer();
        await limiter.consume('key', COST);
        return async () => {
          await limiter.consume('key', COST);
          await limiter.penalty('key', 2 * COST);
        };
      },
    },
    {
      name: 'acquire + rollback',
      headgate: async () => {
        const { limiter } = bed();
        const one = request(two);
        await limiter.acquire(one);
        return async () => (await limiter.acquire(one)).release();
      },
      peer: async () => {
        const limiter = peer();
        await limiter.consume('key', COST);
        return async () => {
          await limiter.consume('key', COST);
          await limiter.reward('key', COST);
        };
      },
    },
    {
      name: '50 simultaneous acquires of one process on one key',
      headgate: async () => {
        const { limiter } = bed();
        const one = request(two);
        await limiter.acquire(one);
        return () => Promise.all(Array.from({ length: 50 }, () => limiter.acquire(one)));
      },
      peer: async () => {
        const limiter = peer();
        await limiter.consume('key', COST);
        return () => Promise.all(Array.from({ length: 50 }, () => limiter.consume('key', COST)));
      },
    },
    ...cascades(client, headgateTable, peer),
  ];
}

/** Levels: a session of a key of a project, each with two limits; the peer's levels are so many limiters, of one limit each. */
function cascades(client: DynamoDB, tableName: string, peer: (options?: Partial<PeerOptions>) => ReturnType<typeof peerLimiter>) {
  const two = firstLimits(2);
  const family = async () => {
    const { limiter, process, admin } = headgate(client, tableName);
    const [project, key, sibling, session] = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
    await admin.setLimits({ system: true }, two);
    await admin.createEntity({ entity: project });
    for (const child of [key, sibling]) await admin.createEntity({ entity: child, parent: project });
    await admin.createEntity({ entity: session, parent: key });
    const from = (entity: string, cost?: number) => ({ entity, resource: RESOURCE, consume: costs(two, cost) });
    return { limiter, process, from, key, sibling, session };
  };
  const levels: readonly Path[] = [
    {
      name: 'two levels, warm',
      headgate: async () => {
        const { limiter, from, key } = await family();
        await limiter.acquire(from(key));
        return () => limiter.acquire(from(key));
      },
      peer: async () => {
        const union = new RateLimiterUnion(peer(), peer());
        await union.consume('key', COST);
        return () => union.consume('key', COST);
      },
    },
    {
      name: 'three levels, first acquire, limits and levels cached here',
      headgate: async () => {
        const { limiter, from, session } = await family();
        await limiter.limits({ entity: session, resource: RESOURCE });
        return () => limiter.acquire(from(session));
      },
      peer: async () => {
        const union = new RateLimiterUnion(peer(), peer(), peer());
        return () => union.consume('key', COST);
      },
    },
    {
      name: 'two levels, the upper one denies, as nobody here knew',
      headgate: async () => {
        const { limiter, process, from, key, sibling } = await family();
        await limiter.acquire(from(key));
        await process().acquire(from(sibling, CAPACITY - COST));
        return () => limiter.tryAcquire(from(key));
      },
      peer: async () => {
        const union = new RateLimiterUnion(peer(), peer({ points: COST }));
        await union.consume('key', COST);
        return () => union.consume('key', COST).catch(() => undefined);
      },
    },
  ];
  return levels;
}
