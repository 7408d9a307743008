import { beforeAll, describe, expect, it } from 'vitest';
import type { Branch, LimitWrite } from '../../lib/core/branch.js';
import type { Position } from '../../lib/core/bucket.js';
import type { BucketKey } from '../../lib/store/schema.js';
import type { BucketWrite, Store } from '../../lib/store/store.js';
import { eachStore, type StoreUnderTest } from '../support/stores.js';

/** An instant and a window as they occur: femtoseconds, 25 and 17 digits. */
const Z = 1_800_000_000_000_000_000_000_001n;
const W = 60_000_000_000_000_001n;
const OTHER_W = 60_000_000_000_000_000n;
const TTL = 4_000_000_000;

const limitWrite = (name: string, branch: Branch, windowFs = W): LimitWrite => ({ name, windowFs, branch, consumed: 1n });
const idle = (fullAtFs: bigint, belowFs = fullAtFs): Branch => ({ kind: 'idle', fullAtFs, belowFs });

function bucketWrite(key: BucketKey, limits: readonly LimitWrite[], over: Partial<BucketWrite> = {}): BucketWrite {
  return { key, limits, requests: 1, denials: 0, ttl: { seconds: TTL, ifAbsent: true }, ...over };
}

/** A bucket that holds these positions, written limit by limit. */
async function stored(store: Store, key: BucketKey, positions: Readonly<Record<string, Position>>): Promise<void> {
  for (const [name, { fullAtFs, windowFs }] of Object.entries(positions)) {
    const { applied } = await store.write(bucketWrite(key, [limitWrite(name, idle(fullAtFs), windowFs)]));
    if (!applied) throw new Error(`${name} was there already`);
  }
}

const busy: Branch = { kind: 'busy', addFs: 700n, minFs: Z - 10n, maxFs: Z + 10n };
const replace: Branch = { kind: 'replace', fullAtFs: Z + 700n, seen: { fullAtFs: Z, windowFs: OTHER_W } };
const shift: Branch = { kind: 'shift', addFs: -700n, ifAbsentFs: Z + 5_000n };

describe.each(eachStore)('a bucket write on the $name store', ({ fresh }: StoreUnderTest) => {
  let store: Store;
  let bed: Awaited<ReturnType<StoreUnderTest['fresh']>>;
  let entities = 0;
  const ownBucket = () => bed.bucket(`key-${entities++}`);

  beforeAll(async () => {
    bed = await fresh();
    store = bed.store;
  });

  it.each([
    { when: 'busy, z one before the least', branch: busy, met: { fullAtFs: Z - 11n, windowFs: W }, leaves: 'refused' },
    { when: 'busy, z at the least', branch: busy, met: { fullAtFs: Z - 10n, windowFs: W }, leaves: Z + 690n },
    { when: 'busy, z one after the least', branch: busy, met: { fullAtFs: Z - 9n, windowFs: W }, leaves: Z + 691n },
    { when: 'busy, z at the most', branch: busy, met: { fullAtFs: Z + 10n, windowFs: W }, leaves: Z + 710n },
    { when: 'busy, z one past the most', branch: busy, met: { fullAtFs: Z + 11n, windowFs: W }, leaves: 'refused' },
    { when: 'busy, another window', branch: busy, met: { fullAtFs: Z, windowFs: OTHER_W }, leaves: 'refused' },
    { when: 'busy, no z', branch: busy, met: undefined, leaves: 'refused' },
    {
      when: 'busy without an addition, z in range',
      branch: { ...busy, addFs: 0n },
      met: { fullAtFs: Z, windowFs: W },
      leaves: Z,
    },
    {
      when: 'busy, a range of one instant',
      branch: { ...busy, minFs: Z, maxFs: Z },
      met: { fullAtFs: Z, windowFs: W },
      leaves: Z + 700n,
    },
    { when: 'idle, no z', branch: idle(Z + 700n, Z), met: undefined, leaves: Z + 700n },
    { when: 'idle, z below', branch: idle(Z + 700n, Z), met: { fullAtFs: Z - 1n, windowFs: W }, leaves: Z + 700n },
    { when: 'idle, z at the bound', branch: idle(Z + 700n, Z), met: { fullAtFs: Z, windowFs: W }, leaves: 'refused' },
    { when: 'idle, z above', branch: idle(Z + 700n, Z), met: { fullAtFs: Z + 1n, windowFs: W }, leaves: 'refused' },
    {
      when: 'idle, z below under another window',
      branch: idle(Z + 700n, Z),
      met: { fullAtFs: Z - 1n, windowFs: OTHER_W },
      leaves: 'refused',
    },
    { when: 'replace, exactly what was seen', branch: replace, met: { fullAtFs: Z, windowFs: OTHER_W }, leaves: Z + 700n },
    { when: 'replace, z one later than seen', branch: replace, met: { fullAtFs: Z + 1n, windowFs: OTHER_W }, leaves: 'refused' },
    {
      when: 'replace, z one earlier than seen',
      branch: replace,
      met: { fullAtFs: Z - 1n, windowFs: OTHER_W },
      leaves: 'refused',
    },
    { when: 'replace, the window is ours by now', branch: replace, met: { fullAtFs: Z, windowFs: W }, leaves: 'refused' },
    { when: 'replace, no z', branch: replace, met: undefined, leaves: 'refused' },
    { when: 'shift, z there', branch: shift, met: { fullAtFs: Z, windowFs: W }, leaves: Z - 700n },
    { when: 'shift, no z', branch: shift, met: undefined, leaves: Z + 4_300n },
    { when: 'shift, another window', branch: shift, met: { fullAtFs: Z, windowFs: OTHER_W }, leaves: 'refused' },
  ] satisfies { when: string; branch: Branch; met: Position | undefined; leaves: bigint | 'refused' }[])(
    'leaves $leaves when $when',
    async ({ branch, met, leaves }) => {
      const key = ownBucket();
      if (met !== undefined) await stored(store, key, { tpm: met });

      const result = await store.write(bucketWrite(key, [limitWrite('tpm', branch)]));

      const before = met === undefined ? [] : [['tpm', met]];
      const after = leaves === 'refused' ? before : [['tpm', { fullAtFs: leaves, windowFs: W }]];
      expect(result.applied).toBe(leaves !== 'refused');
      expect([...result.state.positions]).toEqual(after);
      expect([...((await store.read(key))?.positions ?? [])]).toEqual(after);
    },
  );

  it('changes no limit when the last of three refuses', async () => {
    const key = ownBucket();
    await stored(store, key, { a: { fullAtFs: Z, windowFs: W }, c: { fullAtFs: Z, windowFs: W } });

    const result = await store.write(
      bucketWrite(key, [limitWrite('a', busy), limitWrite('b', idle(Z)), limitWrite('c', { ...busy, maxFs: Z - 1n })], {
        ttl: { seconds: TTL + 9, ifAbsent: false },
      }),
    );

    expect(result.applied).toBe(false);
    expect(await store.read(key)).toEqual({
      positions: new Map([
        ['a', { fullAtFs: Z, windowFs: W }],
        ['c', { fullAtFs: Z, windowFs: W }],
      ]),
      uses: new Map(),
      slots: new Map(),
      ttlSeconds: TTL,
    });
  });

  it('reports the whole bucket, limits it does not touch included, when it is applied and when it is refused', async () => {
    const key = ownBucket();
    await stored(store, key, { rpm: { fullAtFs: Z, windowFs: OTHER_W }, tpm: { fullAtFs: Z + 1n, windowFs: W } });

    const refused = await store.write(bucketWrite(key, [limitWrite('tpm', idle(Z))]));
    expect(refused).toEqual({
      applied: false,
      state: {
        positions: new Map([
          ['rpm', { fullAtFs: Z, windowFs: OTHER_W }],
          ['tpm', { fullAtFs: Z + 1n, windowFs: W }],
        ]),
        uses: new Map(),
        slots: new Map(),
        ttlSeconds: TTL,
      },
    });

    const applied = await store.write(bucketWrite(key, [limitWrite('tpm', busy)]));
    expect(applied).toEqual({
      applied: true,
      met: refused.state,
      state: {
        positions: new Map([
          ['rpm', { fullAtFs: Z, windowFs: OTHER_W }],
          ['tpm', { fullAtFs: Z + 701n, windowFs: W }],
        ]),
        uses: new Map(),
        slots: new Map(),
        ttlSeconds: TTL,
      },
    });
  });

  it('reports an empty bucket when it is refused where there is no item, and leaves none behind', async () => {
    const key = ownBucket();

    expect(await store.write(bucketWrite(key, [limitWrite('tpm', busy)]))).toEqual({
      applied: false,
      state: { positions: new Map(), uses: new Map(), slots: new Map(), ttlSeconds: undefined },
    });
    expect(await store.read(key)).toBeUndefined();
  });

  it.each([
    { when: 'none is stored and it may not replace one', met: undefined, seconds: TTL, ifAbsent: true, leaves: 4_000_000_000 },
    { when: 'none is stored and it may replace one', met: undefined, seconds: TTL, ifAbsent: false, leaves: 4_000_000_000 },
    { when: 'one is stored and it may not replace it', met: TTL, seconds: TTL + 5, ifAbsent: true, leaves: 4_000_000_000 },
    { when: 'one is stored and it may replace it', met: TTL, seconds: TTL + 5, ifAbsent: false, leaves: 4_000_000_005 },
  ])('leaves the time to live $leaves when $when', async ({ met, seconds, ifAbsent, leaves }) => {
    const key = ownBucket();
    if (met !== undefined) await store.write(bucketWrite(key, [], { ttl: { seconds: met, ifAbsent: true } }));

    const { state } = await store.write(bucketWrite(key, [limitWrite('tpm', idle(Z))], { ttl: { seconds, ifAbsent } }));

    expect(state.ttlSeconds).toBe(leaves);
    expect((await store.read(key))?.ttlSeconds).toBe(leaves);
  });

  it('keeps the latest reserved start until another write reserves', async () => {
    const key = ownBucket();
    const reserved = async () => (await store.read(key))?.reservedUntilFs;

    await store.write(bucketWrite(key, [limitWrite('tpm', idle(Z))]));
    expect(await reserved()).toBeUndefined();
    const { state } = await store.write(bucketWrite(key, [limitWrite('tpm', busy)], { reservedUntilFs: Z + 600n }));
    expect(state.reservedUntilFs).toBe(Z + 600n);
    await store.write(bucketWrite(key, [limitWrite('tpm', shift)]));
    expect(await reserved()).toBe(Z + 600n);
    const refused = await store.write(bucketWrite(key, [limitWrite('tpm', replace)], { reservedUntilFs: Z + 900n }));

    expect([refused.applied, refused.state.reservedUntilFs, await reserved()]).toEqual([false, Z + 600n, Z + 600n]);
  });

  it.each([
    { what: 'an instant of 25 digits', fs: 1_234_567_890_123_456_789_012_345n },
    { what: 'an instant of 28 digits', fs: 9_876_543_210_987_654_321_098_765_432n },
    { what: 'a window of 10^7 days', fs: 864_000_000_000_000_000_000_000_000n },
    { what: 'a one and thirty zeros', fs: 10n ** 30n },
    { what: 'all 38 digits that a number holds', fs: 10n ** 38n - 1n },
    { what: 'the epoch', fs: 0n },
    { what: 'an instant before the epoch', fs: -1_234_567_890_123_456_789_012_345n },
  ])('keeps $what to the last digit, as z and as window', async ({ fs }) => {
    const key = ownBucket();

    const { state } = await store.write(bucketWrite(key, [limitWrite('tpm', idle(fs), fs)]));

    expect(state.positions.get('tpm')).toEqual({ fullAtFs: fs, windowFs: fs });
    expect((await store.read(key))?.positions.get('tpm')).toEqual({ fullAtFs: fs, windowFs: fs });
  });

  it.each([
    {
      what: 'one femtosecond to 28 digits',
      z: 1_000_000_000_000_000_000_000_000_000n,
      addFs: 1n,
      leaves: 1_000_000_000_000_000_000_000_000_001n,
    },
    {
      what: 'minus one to 28 digits',
      z: 1_000_000_000_000_000_000_000_000_000n,
      addFs: -1n,
      leaves: 999_999_999_999_999_999_999_999_999n,
    },
    { what: 'minus all of it', z: 1_800_000_000_000_000_000_000_001n, addFs: -1_800_000_000_000_000_000_000_001n, leaves: 0n },
    {
      what: 'minus more than all of it',
      z: 5n,
      addFs: -1_000_000_000_000_000_000_000_000n,
      leaves: -999_999_999_999_999_999_999_995n,
    },
  ])('adds $what exactly', async ({ z, addFs, leaves }) => {
    const key = ownBucket();
    await stored(store, key, { tpm: { fullAtFs: z, windowFs: W } });

    const { state } = await store.write(bucketWrite(key, [limitWrite('tpm', { kind: 'shift', addFs, ifAbsentFs: 0n })]));

    expect(state.positions.get('tpm')?.fullAtFs).toBe(leaves);
  });

  it('keeps apart limits whose names are dots, dashes, object members, attributes of the item and words of DynamoDB', async () => {
    const key = ownBucket();
    const names = [
      'a.b',
      'a',
      'b',
      'a-b',
      '-',
      '.',
      '0',
      'constructor',
      '__proto__',
      'toString',
      'n',
      'd',
      'v',
      'ttl',
      'pk',
      'z_a',
      'w_a',
      'size',
      'x'.repeat(64),
    ];

    const first = await store.write(
      bucketWrite(
        key,
        names.map((name, index) => limitWrite(name, idle(Z + BigInt(index)))),
      ),
    );
    const second = await store.write(
      bucketWrite(
        key,
        names.map((name) => limitWrite(name, { ...busy, maxFs: Z + 100n })),
      ),
    );

    expect(first.applied).toBe(true);
    expect(second.applied).toBe(true);
    const positions = (await store.read(key))?.positions;
    expect(positions?.size).toBe(names.length);
    expect(names.map((name) => positions?.get(name)?.fullAtFs)).toEqual(names.map((_, index) => Z + 700n + BigInt(index)));
  });

  it('decides 32 limits with names of 64 characters together, in every branch', async () => {
    const key = ownBucket();
    const names = Array.from({ length: 32 }, (_, index) => `${'n'.repeat(62)}${String(index).padStart(2, '0')}`);
    const all = (branch: Branch, windowFs = W) =>
      bucketWrite(
        key,
        names.map((name) => limitWrite(name, branch, windowFs)),
      );

    const positions = async () => [
      ...new Set([...((await store.read(key))?.positions.values() ?? [])].map(({ fullAtFs }) => fullAtFs)),
    ];
    expect((await store.write(all(idle(Z), OTHER_W))).applied).toBe(true);
    expect((await store.write(all(replace))).applied).toBe(true);
    expect(await positions()).toEqual([Z + 700n]);
    expect((await store.write(all({ ...busy, maxFs: Z + 700n }))).applied).toBe(true);
    expect(await positions()).toEqual([Z + 1_400n]);
    expect((await store.write(all(shift))).applied).toBe(true);
    expect(await positions()).toEqual([Z + 700n]);
    expect((await store.write(all(idle(Z + 5n, Z + 701n)))).applied).toBe(true);
    expect(await positions()).toEqual([Z + 5n]);
    expect((await store.write(all(idle(Z, Z + 5n)))).applied).toBe(false);
  });

  it.each([
    { part: 'namespace', other: { namespace: 'elsewhere' } },
    { part: 'resource', other: { resource: 'gpt-5' } },
    { part: 'entity', other: { entity: 'somebody-else' } },
    { part: 'shard', other: { shard: 1 } },
  ])('leaves the bucket of another $part alone', async ({ other }) => {
    const key = ownBucket();

    await stored(store, key, { tpm: { fullAtFs: Z, windowFs: W } });

    expect(await store.read({ ...key, ...other })).toBeUndefined();
  });

  it('applies exactly one of many simultaneous writes that can only follow the same state', async () => {
    const key = ownBucket();
    await stored(store, key, { tpm: { fullAtFs: Z, windowFs: OTHER_W } });

    const results = await Promise.all(
      Array.from({ length: 10 }, () => store.write(bucketWrite(key, [limitWrite('tpm', replace)]))),
    );

    expect(results.filter(({ applied }) => applied)).toHaveLength(1);
    expect((await store.read(key))?.positions.get('tpm')).toEqual({ fullAtFs: Z + 700n, windowFs: W });
  });
});
