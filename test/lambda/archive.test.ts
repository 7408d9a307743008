import { gunzipSync } from 'node:zlib';
import type { AttributeValue, DynamoDBRecord, DynamoDBStreamEvent } from 'aws-lambda';
import { afterAll, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { S3Stub } from '../support/s3-stub.js';

const s3 = new S3Stub();
let handler: (event: DynamoDBStreamEvent) => Promise<void>;

beforeAll(async () => {
  vi.stubEnv('AWS_ENDPOINT_URL_S3', await s3.start());
  vi.stubEnv('HEADGATE_ARCHIVE_BUCKET', 'kept');
  vi.stubEnv('AWS_REQUEST_CHECKSUM_CALCULATION', 'WHEN_REQUIRED');
  ({ handler } = await import('../../lambda/archive.js'));
});
afterAll(() => s3.stop());
beforeEach(() => {
  s3.objects.clear();
  s3.refuses = 0;
});

const TTL = { type: 'Service', principalId: 'dynamodb.amazonaws.com' };

/** A removal, as the stream tells it; `by` null: an operator's. */
function removed(
  sequence: number,
  pk: string,
  sk: string,
  image: Record<string, AttributeValue>,
  by: typeof TTL | null = TTL,
): DynamoDBRecord {
  return {
    eventName: 'REMOVE',
    ...(by && { userIdentity: by }),
    dynamodb: {
      ApproximateCreationDateTime: 1_795_996_800,
      SequenceNumber: String(sequence),
      Keys: { pk: { S: pk }, sk: { S: sk } },
      OldImage: { pk: { S: pk }, sk: { S: sk }, ...image },
    },
  };
}

const counters = { resource: { S: 'gpt-4' }, c_tpm: { N: '1200' }, c_rpm: { N: '3' }, n: { N: '3' }, d: { N: '1' } };
const hour = 'usage#hour#2026-10-18T13:00:00Z#gpt-4#acme#2';
const change = '2026-10-19T08:00:00.000Z#000001abcdef';
const audit = {
  actor: { S: 'ada' },
  action: { S: 'limits.set' },
  target: { M: { entity: { S: 'acme' } } },
  to: { S: '{"limits":[]}' },
};

/** What was written, line by line, by object. */
const written = () =>
  Object.fromEntries(
    [...s3.objects].map(([key, body]) => [
      key,
      gunzipSync(body)
        .toString()
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ]),
  );

const at = (position: number) => String(position).padStart(40, '0');

it('keeps expired usage and history as lines of JSON, by kind and date, a row once though it expires in three views', async () => {
  await handler({
    Records: [
      removed(11, 'default#e#acme', hour, counters),
      removed(12, 'default#r#gpt-4#3', hour, counters),
      removed(13, 'default#ns#3', hour, counters),
      removed(14, 'default#ns#3', 'usage#hour#2026-10-19T00:00:00Z#gpt-4#acme#2', {
        ...counters,
        c_tpm: { N: '9007199254740993' },
      }),
      removed(15, 'default#audit#2026-10', change, audit),
    ],
  });

  expect(written()).toEqual({
    [`kept/usage/date=2026-10-18/${at(11)}-${at(15)}.jsonl.gz`]: [
      {
        namespace: 'default',
        period: 'hour',
        start: '2026-10-18T13:00:00Z',
        resource: 'gpt-4',
        entity: 'acme',
        shard: 2,
        consumed: { rpm: 3, tpm: 1200 },
        requests: 3,
        denied: 1,
      },
    ],
    [`kept/usage/date=2026-10-19/${at(11)}-${at(15)}.jsonl.gz`]: [
      expect.objectContaining({ start: '2026-10-19T00:00:00Z', consumed: { rpm: 3, tpm: '9007199254740993' } }),
    ],
    [`kept/audit/date=2026-10-19/${at(11)}-${at(15)}.jsonl.gz`]: [
      {
        namespace: 'default',
        id: change,
        at: '2026-10-19T08:00:00.000Z',
        actor: 'ada',
        action: 'limits.set',
        target: { entity: 'acme' },
        to: { limits: [] },
      },
    ],
  });
});

it('writes the same bytes under the same names when a batch comes again', async () => {
  const event = { Records: [removed(1, 'default#ns#3', hour, counters), removed(2, 'default#audit#2026-10', change, audit)] };
  await handler(event);
  const first = new Map(s3.objects);
  await handler(event);

  expect(s3.objects.size).toBe(2);
  expect(s3.objects).toEqual(first);
});

it('fails with the whole batch when an object is not written', async () => {
  s3.refuses = 1;
  const event = { Records: [removed(1, 'default#ns#3', hour, counters)] };

  await expect(handler(event)).rejects.toMatchObject({ name: 'AccessDenied' });
  await handler(event);

  expect(s3.objects.size).toBe(1);
});

it('keeps nothing of what somebody deleted, of buckets, or of changes', async () => {
  await handler({
    Records: [
      removed(1, 'default#ns#3', hour, counters, null),
      removed(2, 'default#b#gpt-4#acme#0', 'b', { u_tpm: { N: '1' } }),
      { ...removed(3, 'default#ns#3', hour, counters), eventName: 'MODIFY' },
      removed(4, 'default#dir#3', '2026', {}),
    ],
  });

  expect(s3.objects.size).toBe(0);
});

it('keeps a row that it cannot read as it is, and those beside it', async () => {
  const spoilt = { ...counters, c_tpm: { S: 'many' } };
  await handler({ Records: [removed(1, 'default#ns#3', hour, spoilt), removed(2, 'default#ns#4', hour, counters)] });

  expect(written()).toMatchObject({
    [`kept/unreadable/date=2026-11-30/${at(1)}-${at(2)}.jsonl.gz`]: [
      { reason: 'Error: Expected an integer, got undefined', pk: 'default#ns#3', sk: hour, image: spoilt },
    ],
    [`kept/usage/date=2026-10-18/${at(1)}-${at(2)}.jsonl.gz`]: [{ entity: 'acme' }],
  });
});
