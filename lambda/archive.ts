import { gzipSync } from 'node:zlib';
import type { DynamoDBStreamEvent } from 'aws-lambda';
import { InvalidArgument } from '../lib/errors.js';
import { type ArchivedLines, archivedLines } from '../lib/usage/archived-lines.js';
import { streamPosition } from '../lib/usage/bucket-changes.js';

type Put = (key: string, body: Buffer) => Promise<unknown>;

let put: Promise<Put> | undefined;

/**
 * Writes what expired in a batch of the table's stream to the bucket HEADGATE_ARCHIVE_BUCKET: an object of gzipped JSON lines for each kind and date. Its name
 * comes from the batch, so a batch that comes again writes the same objects again: each line is there at least once. Throws when an object was not
 * written, and the whole batch comes again.
 */
export async function handler(event: DynamoDBStreamEvent): Promise<void> {
  const positions = event.Records.map(({ dynamodb }) => streamPosition(dynamodb?.SequenceNumber ?? '')).sort();
  const written = archivedLines(event.Records);
  if (written.length === 0) return;
  put ??= putter(process.env.HEADGATE_ARCHIVE_BUCKET);
  const send = await put;
  for (const part of written) await send(objectKey(part, positions[0] ?? '', positions.at(-1) ?? ''), gzipped(part));
}

/** `usage/date=2026-10-18/{first position}-{last position}.jsonl.gz` */
const objectKey = ({ kind, date }: ArchivedLines, first: string, last: string): string =>
  `${kind}/date=${date}/${first}-${last}.jsonl.gz`;

const gzipped = ({ lines }: ArchivedLines): Buffer => gzipSync(lines.map((line) => `${line}\n`).join(''));

async function putter(bucket: string | undefined): Promise<Put> {
  if (!bucket)
    throw new InvalidArgument({ field: 'HEADGATE_ARCHIVE_BUCKET', value: bucket, expected: 'the name of an S3 bucket' });
  const { PutObjectCommand, S3Client } = await import('@aws-sdk/client-s3');
  // By path, where another endpoint than S3's own is set.
  const client = new S3Client({ forcePathStyle: process.env.AWS_ENDPOINT_URL_S3 !== undefined });
  return (key, body) =>
    client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ContentType: 'application/gzip' }));
}
