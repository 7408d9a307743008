import { InvalidArgument } from '../errors.js';
import { checkFields } from '../names.js';

/** How urgent a request is, from the least. */
export const PRIORITIES = ['low', 'normal', 'high', 'critical'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** The share of each capacity that requests of a priority may use, above 0 and at most 1: what is above it is headroom for the more urgent. */
export type PriorityShares = Readonly<Record<Priority, number>>;

/** What priorities mean where they are turned on without numbers. */
const DEFAULT_SHARES: PriorityShares = { low: 0.5, normal: 0.9, high: 1, critical: 1 };

/** Checks shares, those left out by default; `true`: all by default. They must not fall from low to critical. Throws `InvalidArgument`. */
export function parsePriorities(value: Partial<PriorityShares> | true, field: string): PriorityShares {
  if (value === true) return DEFAULT_SHARES;
  checkFields(value, PRIORITIES, field);
  const shares = { ...DEFAULT_SHARES, ...value };
  let least = 0;
  for (const priority of PRIORITIES) {
    const share = shares[priority];
    if (typeof share !== 'number' || !(share > 0 && share <= 1) || share < least) {
      throw new InvalidArgument({
        field: `${field}.${priority}`,
        value: share,
        expected: `a share above 0, at most 1, and at least the ${least} of the priority before it`,
      });
    }
    least = share;
  }
  return shares;
}
