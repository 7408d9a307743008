/**
 * The algebra: every operation on a limit is a map of its full-at instant,
 *
 *     z  ->  max(z + A, B)     allowed while  z <= U
 *
 * and such maps compose, so any batch is again one map and one write. An absent z is minus infinity.
 */
export interface Step {
  /** A: what is added to z. */
  readonly addFs: bigint;
  /** B: the least z afterwards. Undefined: none. */
  readonly floorFs: bigint | undefined;
  /** U: the latest z that admits every acquire in the step. Undefined: any. */
  readonly ceilingFs: bigint | undefined;
}

/** Changes nothing and admits any z. */
export const IDENTITY: Step = { addFs: 0n, floorFs: undefined, ceilingFs: undefined };

/**
 * The step followed by an acquire of `fillFs` made at `nowFs`, allowed to let z run `boundFs` ahead of now.
 * Undefined when it could not be admitted behind the step even on a full bucket: then it is not in this batch.
 */
export function thenAcquire(step: Step, nowFs: bigint, fillFs: bigint, boundFs: bigint): Step | undefined {
  const floorFs = step.floorFs === undefined || step.floorFs < nowFs ? nowFs : step.floorFs;
  if (floorFs + fillFs > nowFs + boundFs) return undefined;
  const latestFs = nowFs + boundFs - fillFs - step.addFs;
  return {
    addFs: step.addFs + fillFs,
    floorFs: floorFs + fillFs,
    ceilingFs: step.ceilingFs === undefined || latestFs < step.ceilingFs ? latestFs : step.ceilingFs,
  };
}

/** The step followed by an adjustment: a charge (positive) or a refund (negative). Never refused. */
export function thenAdjust(step: Step, deltaFs: bigint): Step {
  return {
    addFs: step.addFs + deltaFs,
    floorFs: step.floorFs === undefined ? undefined : step.floorFs + deltaFs,
    ceilingFs: step.ceilingFs,
  };
}

/** The step followed by a floor: z is no earlier than this afterwards, whoever charged how much. Never refused, and harmless when repeated. */
export function thenFloor(step: Step, atLeastFs: bigint): Step {
  return { ...step, floorFs: step.floorFs === undefined || step.floorFs < atLeastFs ? atLeastFs : step.floorFs };
}

/** Whether an acquire in the step is refused at this z. */
export function refuses(step: Step, fullAtFs: bigint | undefined): boolean {
  return fullAtFs !== undefined && step.ceilingFs !== undefined && fullAtFs > step.ceilingFs;
}

/** Where the step takes z. Undefined only when z is absent and nothing in the step acquired: a full bucket stays full. */
export function moved(step: Step, fullAtFs: bigint | undefined): bigint | undefined {
  if (fullAtFs === undefined) return step.floorFs;
  const addedFs = fullAtFs + step.addFs;
  return step.floorFs !== undefined && addedFs < step.floorFs ? step.floorFs : addedFs;
}
