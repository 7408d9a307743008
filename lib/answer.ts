import type { Admission } from './admission/admission.js';
import type { BucketDemand } from './admission/bucket-demand.js';
import type { Decision } from './admission/operation.js';
import type { Choice } from './admission/shard-choice.js';
import { nextBoundaryFs } from './core/coming-forms.js';
import { FS_PER_MS } from './core/time.js';
import type { DecidedBy } from './lease.js';
import { type Denial, denialOf } from './rate-limit-exceeded.js';
import { givenBack, type LimitReport, remaining, reports } from './report.js';

/** A request that was granted, by which engine, with its buckets' decisions in their order. */
export interface Granted {
  readonly granted: true;
  readonly admission: Admission;
  readonly buckets: readonly BucketDemand[];
  readonly decisions: readonly Decision[];
  readonly decidedBy: DecidedBy;
}

/** A denial is final for a request that may take a place in the queue: the queue is longer than it would wait. */
export type Answer = Granted | { readonly granted: false; readonly denial: Denial; readonly mayQueue: boolean };

/**
 * The answer to a request, a bucket a level. A split bucket that denies leads to another of its shards, once. No place in a queue lies beyond the next
 * boundary of a schedule: whoever would wait longer asks again then.
 */
export async function answerTo(
  admission: Admission,
  choices: readonly Choice[],
  maxWaitMs: number | undefined,
  decidedBy: DecidedBy,
  nowFs: bigint,
): Promise<Answer> {
  const demanded = choices.flatMap(([{ demands }]) => demands);
  const reserves = demanded.every(({ limit, within = limit.capacity }) => within === limit.capacity);
  const mostFs = reserves && maxWaitMs !== undefined ? BigInt(Math.floor(maxWaitMs)) * FS_PER_MS : 0n;
  const boundaryFs =
    mostFs === 0n
      ? undefined
      : nextBoundaryFs(
          demanded.map(({ limit }) => limit),
          nowFs,
        );
  const isCut = boundaryFs !== undefined && boundaryFs - nowFs < mostFs;
  const maxWaitFs = isCut ? boundaryFs - nowFs : mostFs;
  const mayQueue = reserves && !isCut;
  const buckets = choices.map(([bucket]) => bucket);
  const decisions = await admission.acquire(buckets, maxWaitFs);
  if (grantedAll(decisions)) return { granted: true, admission, buckets, decisions, decidedBy };
  const denial = denialOf(everyReport(buckets, decisions, reports));
  if (choices.every(([, other]) => other === undefined)) return { granted: false, denial, mayQueue };
  const others = choices.map(([bucket, other = bucket], index) => (decisions[index]?.granted ? bucket : other));
  const again = await admission.acquire(others, maxWaitFs);
  if (grantedAll(again)) return { granted: true, admission, buckets: others, decisions: again, decidedBy };
  const secondDenial = denialOf(everyReport(others, again, reports));
  return { granted: false, mayQueue, denial: secondDenial.retryAfterMs < denial.retryAfterMs ? secondDenial : denial };
}

const grantedAll = (decisions: readonly Decision[]): boolean => decisions.every(({ granted }) => granted);

/** When all decisions start: the latest of their places; 0n for a request that starts now. */
export function startOf(decisions: readonly Decision[]): bigint {
  return decisions.reduce((latest, { place }) => (place !== undefined && place.startFs > latest ? place.startFs : latest), 0n);
}

/** How far ahead of its request the last of a granted request's places was, when it was taken. */
export function queuedFs(decisions: readonly Decision[]): bigint {
  return decisions.reduce((longest, { place, nowFs }) => {
    return place !== undefined && place.startFs - nowFs > longest ? place.startFs - nowFs : longest;
  }, 0n);
}

/** What is left of every limit after the grant. */
export const remainingReports = ({ buckets, decisions }: Granted): readonly LimitReport[] =>
  everyReport(buckets, decisions, remaining);

/** The reports of all buckets; a bucket that granted while another denied shows what it holds once its charge is back. */
function everyReport(
  buckets: readonly BucketDemand[],
  decisions: readonly Decision[],
  of: typeof reports,
): readonly LimitReport[] {
  return buckets.flatMap(({ key, demands }, index) => {
    const decision = decisions[index];
    if (decision === undefined) return [];
    const report = of === reports && decision.granted ? givenBack : of;
    return report(key, demands, decision.stored, decision.nowFs);
  });
}
