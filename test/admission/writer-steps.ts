/** A bucket's writer, one step at a time and by nobody's clock: an operation comes, its queue is composed, an answer comes. */
import { compose, type Flight } from '../../lib/admission/composition.js';
import type { AcquireOperation, Operation, PostOperation } from '../../lib/admission/operation.js';
import type { Position } from '../../lib/core/bucket.js';
import { Limit } from '../../lib/core/limit.js';
import { type Guesses, learned, NO_GUESSES } from '../../lib/core/prediction.js';
import type { Stored } from '../../lib/core/standing.js';
import { type Kind, OPERATIONS, startOf } from './one-by-one.js';

const FS_PER_MS = 1_000_000_000_000n;
const NAME = 'l';
/** Three tokens, one of which comes back each second. */
const LIMIT = Limit.custom({ name: NAME, capacity: 3, refillAmount: 1, refillPeriodMs: 1_000 });
export const WINDOW_FS = 3_000n * FS_PER_MS;

/** An operation on its way, and what the check knows of it. */
export type Traced = (AcquireOperation | PostOperation) & {
  readonly asked: Kind;
  /** Since it came, or in an answer on its way when it came, the bucket stood where one-by-one denies it. */
  deniable: boolean;
};

interface Sent {
  readonly flight: Flight;
  /** The answer, once the write has reached the store. */
  answer: { readonly applied: boolean; readonly state: Stored } | undefined;
}

/** A process with one bucket. */
export interface Asker {
  readonly nowMs: number;
  /** What it will be asked yet. */
  script: readonly Kind[];
  queue: Traced[];
  sent: Sent[];
  seen: Stored | undefined;
  guesses: Guesses;
  answers: number;
}

export const newAsker = (script: readonly Kind[], nowMs: number, seen: Stored | undefined): Asker => {
  return { nowMs, script, queue: [], sent: [], seen, guesses: NO_GUESSES, answers: seen === undefined ? 0 : 1 };
};

export const ms = (femtoseconds: bigint): number => Number(femtoseconds / FS_PER_MS);
export const fs = (milliseconds: number): bigint => BigInt(milliseconds) * FS_PER_MS;
export const asStored = (position: Position | undefined): Stored => ({
  positions: new Map(position === undefined ? [] : [[NAME, position]]),
  uses: new Map(),
  slots: new Map(),
});

function fullAtMsIn(stored: Stored | undefined): number | undefined {
  const position = stored?.positions.get(NAME);
  return position && ms(position.fullAtFs);
}

const branchKeys = new WeakMap<Flight['limits'], string>();

/** What a write asks of the store. */
function branchKey({ limits }: Flight): string {
  let key = branchKeys.get(limits);
  if (key === undefined) {
    key = limits.map(({ branch }) => Object.values(branch).join('/')).join();
    branchKeys.set(limits, key);
  }
  return key;
}

const operationsOf = ({ flight }: Sent) => flight.operations as readonly Traced[];

/**
 * Whether the next operation of the script may come now. An acquire waits for the writes under way in any case, so it makes no difference when it
 * comes while they are: it comes when the store has decided them, which is when the fewest of its denials are right.
 */
export function mayArrive({ script: [asked], sent }: Asker, mostSent: number): boolean {
  if (asked === undefined) return false;
  return mostSent > 1 || OPERATIONS[asked].difference !== undefined || sent.every(({ answer }) => answer !== undefined);
}

/** The next operation of the script is queued. */
export function arrive(asker: Asker, stored: Position | undefined): void {
  const [asked, ...script] = asker.script;
  if (asked === undefined) throw new Error('nothing is left of the script');
  asker.script = script;
  const { cost, within, maxWaitMs, difference } = OPERATIONS[asked];
  const arrival = {
    untilMs: 0,
    answersBefore: asker.answers,
    attempts: 0,
    asked,
    deniable: false,
    resolve: () => {},
    reject: () => {},
  };
  if (difference !== undefined) {
    const charge = {
      kind: 'bucket' as const,
      name: NAME,
      counts: 'custom' as const,
      tokens: 0,
      tokenFs: fs(1_000),
      windowFs: WINDOW_FS,
    };
    const settlement = { differences: [{ charge, tokens: difference }], acquiredAtFs: fs(asker.nowMs) };
    asker.queue.push({ ...arrival, kind: 'post', settlement, requests: 0 });
    return;
  }
  const acquire = { demands: [{ limit: LIMIT, cost, within }], maxWaitFs: fs(maxWaitMs), movable: true, earliestFs: 0n };
  asker.queue.push({ ...arrival, kind: 'acquire', ...acquire, overdrawn: [], startFs: 0n, nowFs: undefined });
  markDeniable(asker, stored);
  // An answer that was on its way already may be the last that this process hears.
  for (const { answer } of asker.sent)
    if (answer !== undefined) markDeniable(asker, answer.state.positions.get(NAME), asker.queue.slice(-1));
}

/** Notes the operations that one by one would be denied where the bucket stands. */
export function markDeniable(asker: Asker, stored: Position | undefined, operations: readonly Traced[] = undecided(asker)): void {
  const fullAtMs = stored && ms(stored.fullAtFs);
  for (const operation of operations) {
    if (operation.kind === 'acquire' && startOf(operation.asked, fullAtMs, asker.nowMs) === undefined) operation.deniable = true;
  }
}

const undecided = ({ queue, sent }: Asker): readonly Traced[] => [
  ...queue,
  ...sent.flatMap((one) => (one.answer?.applied ? [] : operationsOf(one))),
];

/** What the writer does at the end of a turn; with `mostSent` above 1, as if its writes were slow. The number of operations that it denied. */
export function pump(asker: Asker, mostSent: number): number {
  let deniedInAll = 0;
  while (asker.queue.length > 0) {
    const held = asker.sent.length > 0 && asker.queue.some(({ kind }) => kind === 'acquire');
    if (held && asker.sent.length >= mostSent) return deniedInAll;
    const { seen, guesses, answers } = asker;
    const known = { seen, guesses, answers, undecided: asker.sent.length > 0 };
    const { flight, denied, left } = compose(asker.queue, known, fs(asker.nowMs));
    const before = asker.queue;
    asker.queue = left as Traced[];
    for (const operation of denied as readonly Traced[]) {
      const undecidedBefore = before.slice(0, before.indexOf(operation)).filter((one) => asker.queue.includes(one));
      if (asker.sent.length + undecidedBefore.length > 0)
        throw new Error(`${operation.asked} is denied behind an undecided one: ${keyOf(asker)}`);
      if (!operation.deniable) throw new Error(`${operation.asked} is denied, and one by one it never is: ${keyOf(asker)}`);
    }
    deniedInAll += denied.length;
    if (flight === undefined && denied.length === 0) return deniedInAll;
    if (flight === undefined) continue;
    const sent = { flight, answer: undefined };
    checkStarts(asker, sent);
    asker.sent.push(sent);
  }
  return deniedInAll;
}

/** Whoever waits is given the earliest start behind those before it, where the bucket was seen last. */
function checkStarts({ seen, nowMs }: Asker, sent: Sent): void {
  let fullAtMs = fullAtMsIn(seen);
  for (const operation of operationsOf(sent)) {
    const { cost, difference } = OPERATIONS[operation.asked];
    if (operation.kind === 'post') {
      if (fullAtMs !== undefined && difference !== undefined) fullAtMs += 1_000 * difference;
      continue;
    }
    const startMs = startOf(operation.asked, fullAtMs, nowMs);
    // What does not fit where the bucket was seen last goes out alone, as a question.
    if (startMs === undefined && sent.flight.operations.length === 1) return;
    if (startMs === undefined || fs(startMs) !== operation.startFs) {
      throw new Error(`${operation.asked} starts at ${operation.startFs}, one by one at ${startMs}, behind ${fullAtMs}`);
    }
    fullAtMs = Math.max(fullAtMs ?? startMs, startMs) + 1_000 * cost;
  }
}

/** An answer comes back. The most writes that one of its operations was in. */
export function land(asker: Asker, at: number): number {
  const [sent] = asker.sent.splice(at, 1);
  if (sent?.answer === undefined) throw new Error('there is no answer');
  const { flight, answer } = sent;
  asker.answers += 1;
  asker.guesses = learned(asker.guesses, flight.limits, asker.seen, answer);
  asker.seen = answer.state;
  for (const operation of operationsOf(sent)) operation.attempts += 1;
  if (!answer.applied) asker.queue = [...operationsOf(sent), ...asker.queue];
  return Math.max(...flight.operations.map(({ attempts }) => attempts));
}

/** The same process, as nothing that changes one changes the other. */
export function copied(asker: Asker): Asker {
  const copy = (operation: Operation): Traced => ({ ...(operation as Traced) });
  const sent = asker.sent.map(({ flight, answer }) => ({
    flight: { ...flight, operations: flight.operations.map(copy) },
    answer,
  }));
  return { ...asker, queue: asker.queue.map(copy), sent };
}

/** Equal for processes that will do the same. */
export function keyOf({ nowMs, script, queue, sent, seen, guesses, answers }: Asker): string {
  const one = (operation: Traced): string => {
    const { asked, attempts, deniable } = operation;
    if (operation.kind === 'post') return asked;
    return `${asked}*${attempts}${deniable ? '!' : ''}${operation.answersBefore < answers ? 'n' : ''}`;
  };
  const flights = sent.map((flying) => {
    const branch = branchKey(flying.flight);
    if (flying.answer?.applied) return `${branch}=${fullAtMsIn(flying.answer.state)}`;
    const starts = flying.flight.operations.map((each) => (each.kind === 'acquire' ? String(each.startFs) : ''));
    const asked = operationsOf(flying).map(one).join();
    return `${asked}@${flying.answer ? '' : starts.join()}=${branch}=${flying.answer && fullAtMsIn(flying.answer.state)}`;
  });
  const mistrust = Object.values(guesses.limits.get(NAME) ?? {}).join('/');
  const knows = `${seen && fullAtMsIn(seen)}${seen ? 'k' : ''} ${mistrust} ${guesses.corrected}`;
  return `${nowMs} to come ${script.join()}; queue ${queue.map(one).join()}; sent ${flights.join(' & ')}; knows ${knows}`;
}
