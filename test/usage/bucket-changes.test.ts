import { describe, expect, it } from 'vitest';
import { readBucketChanges } from '../../lib/usage/bucket-changes.js';
import { altered, bucketKey, RecordedBuckets, sequenceNumber } from './recorded-buckets.js';

const at = '2026-11-22T13:00:00Z';

/** What the only bucket of the batch did, change by change. */
function changesOf(records: Parameters<typeof readBucketChanges>[0]) {
  const { buckets, malformed } = readBucketChanges(records);
  expect(malformed).toEqual([]);
  expect(buckets).toHaveLength(1);
  return buckets[0]!.changes.map(({ consumed, requests, denials }) => ({
    consumed: Object.fromEntries(consumed),
    requests,
    denials,
  }));
}

describe('the changes in a batch', () => {
  it('counts an inserted bucket from zero and a modified one from its old image', () => {
    const buckets = new RecordedBuckets();
    buckets.write(bucketKey(), { at, consumed: { rpm: 1, tpm: 500 }, requests: 1 });
    buckets.write(bucketKey(), { at, consumed: { rpm: 2, tpm: 1 }, requests: 2, denials: 3 });

    expect(changesOf(buckets.records)).toEqual([
      { consumed: { rpm: 1n, tpm: 500n }, requests: 1n, denials: 0n },
      { consumed: { rpm: 2n, tpm: 1n }, requests: 2n, denials: 3n },
    ]);
  });

  it('shows a refund as a negative difference, on an inserted bucket too', () => {
    const buckets = new RecordedBuckets();
    buckets.write(bucketKey(), { at, consumed: { tpm: -70 } });
    buckets.write(bucketKey(), { at, consumed: { tpm: -30 }, requests: -1 });

    expect(changesOf(buckets.records)).toEqual([
      { consumed: { tpm: -70n }, requests: 0n, denials: 0n },
      { consumed: { tpm: -30n }, requests: -1n, denials: 0n },
    ]);
  });

  it('keeps what a deleted bucket consumed and counts its successor from zero', () => {
    const buckets = new RecordedBuckets();
    buckets.write(bucketKey(), { at, consumed: { tpm: 500 } });
    buckets.remove(bucketKey(), at);
    buckets.write(bucketKey(), { at, consumed: { tpm: 20 } });

    expect(changesOf(buckets.records).map((change) => change.consumed)).toEqual([{ tpm: 500n }, { tpm: 20n }]);
  });

  it('gives nothing back for a counter that was cleared away, and counts it from zero when it is there again', () => {
    const buckets = new RecordedBuckets();
    const first = buckets.write(bucketKey(), { at, consumed: { rpm: 1, tpm: 500 } });
    const second = buckets.write(bucketKey(), { at, consumed: { rpm: 1, tpm: 20 } });
    const third = buckets.write(bucketKey(), { at, consumed: { rpm: 1 } });
    const { u_tpm: _cleared, ...cleared } = first.dynamodb!.NewImage!;
    const records = [
      first,
      altered(second, { NewImage: { ...cleared, u_rpm: { N: '2' } } }),
      altered(third, {
        OldImage: { ...cleared, u_rpm: { N: '2' } },
        NewImage: { ...cleared, u_rpm: { N: '2' }, u_tpm: { N: '20' } },
      }),
    ];

    expect(changesOf(records).map((change) => change.consumed)).toEqual([{ rpm: 1n, tpm: 500n }, { rpm: 1n }, { tpm: 20n }]);
  });

  it('is exact beyond 2^53', () => {
    const buckets = new RecordedBuckets();
    buckets.write(bucketKey(), { at, consumed: { tpm: 90_071_992_547_409_930_000_000_001n } });
    buckets.write(bucketKey(), { at, consumed: { tpm: 2n } });

    expect(changesOf(buckets.records)[1]!.consumed).toEqual({ tpm: 2n });
  });

  it.each(['__proto__', 'constructor', 'a.b-c_d', 'u_u_'])('reads the limit named %s', (limit) => {
    const buckets = new RecordedBuckets();
    buckets.write(bucketKey(), { at, consumed: Object.fromEntries([[limit, 7]]) });

    const { buckets: read } = readBucketChanges(buckets.records);
    expect([...read[0]!.changes[0]!.consumed]).toEqual([[limit, 7n]]);
  });

  it('orders positions as numbers, whatever their length and the order of delivery', () => {
    const buckets = new RecordedBuckets();
    const [a, b, c] = [1, 2, 3].map((tokens) => buckets.write(bucketKey(), { at, consumed: { tpm: tokens } }));
    const records = [
      altered(c!, { SequenceNumber: '1000000000000000000000' }),
      altered(a!, { SequenceNumber: '99' }),
      altered(b!, { SequenceNumber: '999999999999999999999' }),
    ];

    expect(changesOf(records).map((change) => change.consumed)).toEqual([{ tpm: 1n }, { tpm: 2n }, { tpm: 3n }]);
  });

  it('takes a record that is twice in the batch once', () => {
    const buckets = new RecordedBuckets();
    buckets.write(bucketKey(), { at, consumed: { tpm: 5 } });
    buckets.write(bucketKey(), { at, consumed: { tpm: 7 } });

    expect(changesOf([...buckets.records, ...buckets.records])).toHaveLength(2);
  });

  it('tells namespaces, resources, entities and shards apart', () => {
    const buckets = new RecordedBuckets();
    const keys = [{}, { namespace: 'other' }, { resource: 'gpt-5' }, { entity: 'key-2' }, { shard: 1 }].map(bucketKey);
    for (const key of keys) buckets.write(key, { at, consumed: { tpm: 1 } });

    expect(readBucketChanges(buckets.records).buckets.map(({ bucket }) => bucket)).toEqual(keys);
  });

  it('leaves out a write that moved no counter', () => {
    const buckets = new RecordedBuckets();
    buckets.write(bucketKey(), { at });
    buckets.write(bucketKey(), { at, consumed: { tpm: 0 }, requests: 0 });

    expect(readBucketChanges(buckets.records)).toEqual({ buckets: [], malformed: [] });
  });

  it.each([
    { when: 'a usage row', keys: { pk: { S: 'default#e#key-1' }, sk: { S: 'usage#day#2026-11-22T00:00:00Z#gpt-4#key-1#0' } } },
    { when: 'the configuration', keys: { pk: { S: 'default#config' }, sk: { S: 'system' } } },
    { when: "a namespace called b's entity", keys: { pk: { S: 'b#e#b' }, sk: { S: 'b' } } },
    { when: 'something else beside a bucket', keys: { pk: { S: 'default#b#gpt-4#key-1#0' }, sk: { S: 'note' } } },
    { when: 'the list of namespaces', keys: { pk: { S: '#namespaces' }, sk: { S: 'default' } } },
  ])('ignores $when, however it looks', ({ keys }) => {
    const record = { eventName: 'MODIFY' as const, dynamodb: { Keys: keys, NewImage: { u_tpm: { S: 'many' } } } };

    expect(readBucketChanges([record])).toEqual({ buckets: [], malformed: [] });
  });
});

describe('a damaged record', () => {
  const buckets = new RecordedBuckets();
  buckets.write(bucketKey(), { at, consumed: { tpm: 1 } });
  const record = buckets.write(bucketKey(), { at, consumed: { tpm: 2 } });
  const image = record.dynamodb!.NewImage!;

  it.each([
    { when: 'it has no keys', over: { Keys: undefined }, says: 'Keys' },
    { when: 'a key is a number', over: { Keys: { pk: { N: '1' }, sk: { S: 'b' } } }, says: 'Keys' },
    { when: 'its shard is no number', over: { Keys: { pk: { S: 'default#b#gpt-4#key-1#x' }, sk: { S: 'b' } } }, says: 'shard' },
    { when: 'its shard is spelled 00', over: { Keys: { pk: { S: 'default#b#gpt-4#key-1#00' }, sk: { S: 'b' } } }, says: 'shard' },
    { when: 'it has no new image', over: { NewImage: undefined }, says: 'NewImage' },
    { when: 'it was modified and has no old image', over: { OldImage: undefined }, says: 'OldImage' },
    { when: 'a counter is text', over: { NewImage: { ...image, u_tpm: { S: '3' } } }, says: 'u_tpm' },
    { when: 'a counter is a fraction', over: { NewImage: { ...image, u_tpm: { N: '3.5' } } }, says: 'u_tpm' },
    { when: 'the requests are text', over: { NewImage: { ...image, n: { S: 'x' } } }, says: 'n to be an integer' },
    { when: 'an old counter is text', over: { OldImage: { ...image, u_tpm: { S: '3' } } }, says: 'u_tpm' },
    { when: 'it has no time', over: { ApproximateCreationDateTime: undefined }, says: 'ApproximateCreationDateTime' },
    { when: 'its time is text', over: { ApproximateCreationDateTime: at }, says: 'ApproximateCreationDateTime' },
    {
      when: 'its time is in milliseconds',
      over: { ApproximateCreationDateTime: Date.parse(at) },
      says: 'ApproximateCreationDateTime',
    },
  ])('is a failure that says what is wrong when $when', ({ over, says }) => {
    const { buckets: read, malformed } = readBucketChanges([altered(record, over)]);

    expect(read).toEqual([]);
    expect(malformed.map((failure) => failure.sequenceNumber)).toEqual([sequenceNumber(record)]);
    expect(String(malformed[0]!.cause)).toContain(says);
  });

  it.each([undefined, '', '12a', '-1', '1'.repeat(41)])(
    'is a failure without a number when its sequence number is %s',
    (SequenceNumber) => {
      const { malformed } = readBucketChanges([altered(record, { SequenceNumber })]);

      expect(malformed.map((failure) => failure.sequenceNumber)).toEqual(['']);
    },
  );

  it('is a failure when its event is unknown', () => {
    const { malformed } = readBucketChanges([{ ...record, eventName: 'UPSERT' }]);

    expect(String(malformed[0]!.cause)).toContain('UPSERT');
  });

  it('leaves its neighbours to be booked', () => {
    const [first, second] = buckets.records;
    const { buckets: read, malformed } = readBucketChanges([first!, altered(second!, { NewImage: undefined }), { ...second! }]);

    expect(read[0]!.changes).toHaveLength(2);
    expect(malformed).toHaveLength(1);
  });
});
