/** What a deployment's manifest asks for, and how it is brought about. */
import { setTimeout } from 'node:timers/promises';
import { InvalidArgument } from '../lib/errors.js';
import { conflictText } from '../lib/manifest/conflict.js';
import type { Manifest } from '../lib/manifest/manifest.js';
import { ManifestAdmin } from '../lib/manifest/manifest-admin.js';
import { countsOf, type Plan } from '../lib/manifest/plan.js';
import { problemText } from '../lib/manifest/problem.js';
import { readManifest } from '../lib/manifest/read-manifest.js';

/** The properties of `Custom::HeadgateManifest`. CloudFormation hands every value over as text. */
export interface ManifestProperties {
  readonly Table: string;
  readonly Namespace: string;
  readonly Prune: 'true' | 'false';
  readonly OnDelete: 'keep' | 'remove';
  /** The manifest, or where it is in S3. */
  readonly Manifest?: string;
  readonly Bucket?: string;
  readonly Key?: string;
}

export interface DeploymentOptions {
  /** Who applies, for the history. */
  readonly actor: string;
  /** Nothing is begun after that. */
  readonly untilMs: number;
}

/** What an apply did, and in words. */
export interface Deployed {
  readonly summary: string;
  readonly revision: number;
  readonly created: number;
  readonly changed: number;
  readonly removed: number;
  readonly adopted: number;
  readonly unchanged: number;
  readonly kept: number;
}

const PAUSE_MS = 1_000;
/** How often others may come in between. */
const ATTEMPTS = 5;
/** How long a permission that was granted with this very deployment may take to hold everywhere. */
const GRANTING_MS = 60_000;

/** Applies the manifest. Throws where it has problems, where others apply or change the same all the time, and where a service refuses or is silent. */
export function deployManifest(properties: ManifestProperties, options: DeploymentOptions): Promise<Deployed> {
  return onceAllowed(options.untilMs, async () => {
    const text = await textOf(properties);
    const read = readManifest(text, { file: 'manifest' });
    if ('problems' in read) throw new Error(read.problems.map(problemText).join('; '));
    return brought(properties, read.manifest, properties.Prune === 'true', options);
  });
}

/** Removes all that manifests manage in the namespace, if that was asked for. */
export async function withdrawManifest(properties: ManifestProperties, options: DeploymentOptions): Promise<void> {
  if (properties.OnDelete !== 'remove') return;
  const nothing = { namespace: undefined, settings: [], entities: [] };
  await onceAllowed(options.untilMs, () => brought(properties, nothing, true, options));
}

async function textOf({ Manifest: inline, Bucket, Key }: ManifestProperties): Promise<string> {
  if (inline !== undefined) return inline;
  if (Bucket === undefined || Key === undefined)
    throw new InvalidArgument({ field: 'Manifest', value: inline, expected: 'a manifest, or its Bucket and Key' });
  const { GetObjectCommand, S3Client } = await import('@aws-sdk/client-s3');
  const { Body } = await new S3Client({}).send(new GetObjectCommand({ Bucket, Key }));
  return (await Body?.transformToString()) ?? '';
}

async function brought(
  { Table: tableName, Namespace: namespace }: ManifestProperties,
  manifest: Manifest,
  prune: boolean,
  { actor, untilMs }: DeploymentOptions,
): Promise<Deployed> {
  const admin = new ManifestAdmin({ tableName, namespace, actor });
  try {
    for (let lost = 0; ; ) {
      const plan = await admin.plan(manifest, { prune });
      const result = await admin.apply(plan);
      if (result.applied) return deployed(plan, result.revision);
      // Somebody who is applying comes to an end; what was changed in between is planned anew, but not for ever.
      if (!result.conflicts.some(({ reason }) => reason === 'applying')) lost += 1;
      if (lost === ATTEMPTS || Date.now() + PAUSE_MS > untilMs) throw new Error(result.conflicts.map(conflictText).join('; '));
      await setTimeout(PAUSE_MS);
    }
  } finally {
    admin.close();
  }
}

function deployed(plan: Plan, revision: number): Deployed {
  const { create: created, change: changed, remove: removed, adopt: adopted } = countsOf(plan);
  const { unchanged } = plan;
  const kept = plan.kept.length;
  const summary = `Revision ${revision}: ${created} created, ${changed} changed, ${removed} removed, ${adopted} adopted, ${unchanged} unchanged, ${kept} kept.`;
  return { summary, revision, created, changed, removed, adopted, unchanged, kept };
}

/** Does the work, and does it again while it is refused for want of a permission: planning and applying twice does what once does. */
async function onceAllowed<T>(untilMs: number, work: () => Promise<T>): Promise<T> {
  const lastMs = Math.min(untilMs, Date.now() + GRANTING_MS);
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!isForbidden(error) || Date.now() + PAUSE_MS > lastMs) throw error;
      await setTimeout(PAUSE_MS);
    }
  }
}

/** S3 and DynamoDB name it differently; neither has a class for it. */
const isForbidden = (error: unknown): boolean =>
  [error, (error as Error).cause].some(
    (one) => one instanceof Error && (one.name === 'AccessDenied' || one.name === 'AccessDeniedException'),
  );
