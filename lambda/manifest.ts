import { setTimeout } from 'node:timers/promises';
import type { CloudFormationCustomResourceEvent, Context } from 'aws-lambda';
import { type Deployed, deployManifest, type ManifestProperties, withdrawManifest } from './manifest-deployment.js';

/** What is kept of the function's time for the answer: without one CloudFormation waits until the resource's own timeout. */
const SPARE_MS = 10_000;
/** An answer has at most 4,096 bytes; a unit of text becomes at most six. */
const LONGEST_REASON = 500;

type Outcome =
  | { readonly Status: 'SUCCESS'; readonly Data: Partial<Deployed> }
  | { readonly Status: 'FAILED'; readonly Reason: string };

/**
 * Applies the manifest of a deployment, as the custom resource `Custom::HeadgateManifest`: on Create and Update the one that it is given, which in a
 * rollback is the former; on Delete nothing, unless the limits are to be removed. What went wrong is answered, and never thrown: CloudFormation then rolls back.
 * Throws only when the answer cannot be given; then Lambda calls again, and what was applied is found as it should be.
 * https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
 */
export async function handler(
  event: CloudFormationCustomResourceEvent,
  context: Pick<Context, 'getRemainingTimeInMillis' | 'logStreamName'>,
): Promise<void> {
  const outcome = await outcomeOf(event, context.getRemainingTimeInMillis() - SPARE_MS).catch((error: unknown): Outcome => {
    console.error('The manifest was not applied', error);
    const what = error instanceof Error ? error.message : String(error);
    return { Status: 'FAILED', Reason: `${what.slice(0, LONGEST_REASON)} (log stream ${context.logStreamName})` };
  });
  const { StackId, RequestId, LogicalResourceId } = event;
  // The same whatever changes: another id would have CloudFormation delete what has just been applied.
  const PhysicalResourceId = event.RequestType === 'Create' ? `${LogicalResourceId}-${RequestId}` : event.PhysicalResourceId;
  const answer = await fetch(event.ResponseURL, {
    method: 'PUT',
    // The address is signed for no type.
    headers: { 'content-type': '' },
    body: JSON.stringify({ ...outcome, PhysicalResourceId, StackId, RequestId, LogicalResourceId }),
  });
  if (!answer.ok) throw new Error(`The answer to CloudFormation was refused with ${answer.status}`);
}

async function outcomeOf(event: CloudFormationCustomResourceEvent, timeMs: number): Promise<Outcome> {
  const properties = event.ResourceProperties as unknown as ManifestProperties;
  const options = { actor: `cloudformation/${stackOf(event.StackId)}`, untilMs: Date.now() + timeMs };
  const timer = new AbortController();
  const tooLate = setTimeout(timeMs, undefined, { signal: timer.signal }).then((): Outcome => {
    throw new Error(`Not applied within ${timeMs / 1_000} s: deployed again, it goes on where it is`);
  });
  // Whoever is first ends the other.
  tooLate.catch(() => {});
  try {
    return await Promise.race([done(event.RequestType, properties, options), tooLate]);
  } finally {
    timer.abort();
  }
}

async function done(
  request: CloudFormationCustomResourceEvent['RequestType'],
  properties: ManifestProperties,
  options: Parameters<typeof deployManifest>[1],
): Promise<Outcome> {
  if (request !== 'Delete') return { Status: 'SUCCESS', Data: await deployManifest(properties, options) };
  await withdrawManifest(properties, options);
  return { Status: 'SUCCESS', Data: {} };
}

/** `limits` of `arn:aws:cloudformation:eu-west-1:111122223333:stack/limits/0a1b…`. */
const stackOf = (arn: string): string => arn.split('/')[1] ?? arn;
