import type { Demand } from '../core/decision.js';
import type { BucketKey } from '../store/schema.js';

/** What a request asks of one bucket: every limit configured there, with its cost. */
export interface BucketDemand {
  readonly key: BucketKey;
  readonly demands: readonly Demand[];
}
