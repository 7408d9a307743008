/** A machine's clock that was set back by less stands still until the time has come. */
const SHORT_STEP_MS = 50;

/** Of the one clock of this machine: its latest reading, and what performance.now() said then. */
let latestMs = 0;
let readAtMs = 0;

/**
 * Milliseconds since the Unix epoch by the machine's clock, whole, never fewer than before in this process. The clock is read each time (an origin
 * plus elapsed time stands still while a Lambda is frozen). Where it was set back, time goes on from the latest reading at its usual pace, until
 * the clock has caught up: who waits, waits no longer than was said.
 *
 *     machine   ---- 10:00:00 | set back by an hour: 09:00:00 -- 09:00:05 -->
 *     told      ---- 10:00:00 ------------------------------ 10:00:05 -->
 */
export function machineMs(): number {
  const machine = Date.now();
  const monotonic = performance.now();
  if (machine >= latestMs - SHORT_STEP_MS) latestMs = Math.max(latestMs, machine);
  else latestMs += Math.max(0, monotonic - readAtMs);
  readAtMs = monotonic;
  return Math.floor(latestMs);
}
