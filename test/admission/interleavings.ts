/**
 * Every way in which two processes can write to one bucket, at small scope. What a process sends is composed by the shipped code and judged by the
 * shipped conditions; how its writer calls them is repeated in writer-steps.ts, one step at a time, so that every order of arrivals, writes and
 * answers is met. Each write is held against the same operations one by one.
 */
import { evaluated, movesPosition } from '../../lib/core/branch.js';
import type { Position } from '../../lib/core/bucket.js';
import { isAdmitted, type Kind } from './one-by-one.js';
import {
  type Asker,
  arrive,
  asStored,
  copied,
  fs,
  keyOf,
  land,
  markDeniable,
  mayArrive,
  ms,
  newAsker,
  pump,
  type Traced,
  WINDOW_FS,
} from './writer-steps.js';

export interface Scope {
  /** What each process is asked, in this order, and its clock. */
  readonly scripts: readonly { readonly kinds: readonly Kind[]; readonly nowMs: number }[];
  /** What is stored, in milliseconds; undefined: nothing. */
  readonly fullAtMs: number | undefined;
  /** Whether the processes have seen what is stored. */
  readonly warm: boolean;
}

/** Everything there is at one moment: what is stored and the processes, by their numbers. */
interface World {
  readonly stored: number;
  readonly askers: readonly number[];
}

/** What a process can come to by itself: itself with a write under way, and which of its writes that is. */
interface Ready {
  readonly asker: number;
  readonly at: number;
}

/** What was checked. */
export interface Checked {
  /** Mixes of operations, orders of them in each process and states of the bucket. */
  scopes: number;
  /** Different states of bucket and processes from which every next write was tried. */
  worlds: number;
  /** The writes from all worlds. */
  steps: number;
  /** Different writes, each by a process in one state on a bucket in one state: those applied, and those whose condition failed. */
  applied: number;
  failed: number;
  /** In these: acquires granted, and of them those granted for later than now. */
  granted: number;
  waited: number;
  /** Denials, each in another state of its process. */
  denied: number;
  /** The most writes that one operation was in. */
  mostAttempts: number;
}

/** Numbers are given out in order, and three of them make one key. */
const MOST_STORED = 128;
const MOST_ASKERS = 2 ** 22;

/** Explores scopes, each world once, however many of them lead to it. */
export class Interleavings {
  readonly checked: Checked = {
    scopes: 0,
    worlds: 0,
    steps: 0,
    applied: 0,
    failed: 0,
    granted: 0,
    waited: 0,
    denied: 0,
    mostAttempts: 0,
  };
  /** How many writes a process may have under way, when they are slow. */
  readonly #mostSent: number;
  readonly #positions: (Position | undefined)[] = [];
  readonly #positionNumbers = new Map<bigint | undefined, number>();
  readonly #askers: Asker[] = [];
  readonly #askerNumbers = new Map<string, number>();
  readonly #ready = new Map<number, readonly Ready[]>();
  readonly #written = new Map<number, { readonly stored: number; readonly asker: number }>();
  readonly #watched = new Map<number, number>();
  readonly #met = new Set<number>();

  constructor(mostSent = 1) {
    this.#mostSent = mostSent;
  }

  /** Tries every order. Throws at the first difference from one by one. */
  explore({ scripts, fullAtMs, warm }: Scope): void {
    this.checked.scopes += 1;
    const position = fullAtMs === undefined ? undefined : { fullAtFs: fs(fullAtMs), windowFs: WINDOW_FS };
    const seen = warm ? asStored(position) : undefined;
    const askers = scripts.map(({ kinds, nowMs }) => this.#askerNumber(newAsker(kinds, nowMs, seen)));
    const left: World[] = [{ stored: this.#positionNumber(position), askers }];
    for (let world = left.pop(); world !== undefined; world = left.pop()) {
      const { stored } = world;
      const [one = 0, other = 0] = world.askers;
      // Which process is which makes no difference.
      const key = (Math.min(one, other) * MOST_ASKERS + Math.max(one, other)) * MOST_STORED + stored;
      if (this.#met.has(key)) continue;
      this.#met.add(key);
      this.checked.worlds += 1;
      for (const ready of this.#readyFrom(one, stored)) left.push(this.#afterWrite(stored, ready, other));
      for (const ready of this.#readyFrom(other, stored)) left.push(this.#afterWrite(stored, ready, one));
    }
  }

  #positionNumber(position: Position | undefined): number {
    const known = this.#positionNumbers.get(position?.fullAtFs);
    if (known !== undefined) return known;
    const number = this.#positions.push(position) - 1;
    if (number >= MOST_STORED) throw new RangeError('too many positions');
    this.#positionNumbers.set(position?.fullAtFs, number);
    return number;
  }

  #askerNumber(asker: Asker): number {
    const key = keyOf(asker);
    const known = this.#askerNumbers.get(key);
    if (known !== undefined) return known;
    const number = this.#askers.push(asker) - 1;
    if (number >= MOST_ASKERS) throw new RangeError('too many processes');
    this.#askerNumbers.set(key, number);
    return number;
  }

  #changed(asker: number, change: (copy: Asker) => void): number {
    const copy = copied(this.#askers[asker]!);
    change(copy);
    return this.#askerNumber(copy);
  }

  /**
   * What a process does by itself (an operation comes, an answer comes, it composes) concerns nobody else, so it does all of it right before its
   * next write reaches the store: every other order is equal to one of these.
   */
  #readyFrom(from: number, stored: number): readonly Ready[] {
    const id = from * MOST_STORED + stored;
    const known = this.#ready.get(id);
    if (known !== undefined) return known;
    const ready: Ready[] = [];
    const met = new Set<number>();
    const left = [from];
    for (let here = left.pop(); here !== undefined; here = left.pop()) {
      if (met.has(here)) continue;
      met.add(here);
      const process = this.#askers[here]!;
      const { sent, queue } = process;
      if (mayArrive(process, this.#mostSent)) left.push(this.#changed(here, (copy) => arrive(copy, this.#positions[stored])));
      for (const [at, { answer }] of sent.entries()) {
        if (answer === undefined) ready.push({ asker: here, at });
        else left.push(this.#changed(here, (copy) => this.#landed(copy, at)));
      }
      if (queue.length === 0) continue;
      for (const mostSent of new Set([1, this.#mostSent])) left.push(this.#changed(here, (copy) => this.#pumped(copy, mostSent)));
      if (sent.length === 0 && left.at(-1) === here) throw new Error(`nothing happens any more: ${keyOf(process)}`);
    }
    this.#ready.set(id, ready);
    return ready;
  }

  #landed(asker: Asker, at: number): void {
    this.checked.mostAttempts = Math.max(this.checked.mostAttempts, land(asker, at));
  }

  #pumped(asker: Asker, mostSent: number): void {
    this.checked.denied += pump(asker, mostSent);
  }

  #afterWrite(stored: number, ready: Ready, other: number): World {
    this.checked.steps += 1;
    const id = (ready.asker * 4 + ready.at) * MOST_STORED + stored;
    let written = this.#written.get(id);
    if (written === undefined) {
      written = this.#write(this.#positions[stored], ready);
      this.#written.set(id, written);
    }
    const otherId = other * MOST_STORED + written.stored;
    const position = this.#positions[written.stored];
    const watcher = this.#watched.get(otherId) ?? this.#changed(other, (copy) => markDeniable(copy, position));
    this.#watched.set(otherId, watcher);
    return { stored: written.stored, askers: [written.asker, watcher] };
  }

  /** A write reaches the store: its condition holds, or nothing changes. */
  #write(stored: Position | undefined, { asker, at }: Ready): { readonly stored: number; readonly asker: number } {
    let after = stored;
    const writer = this.#changed(asker, (copy) => {
      const sent = copy.sent[at]!;
      const [write, more] = sent.flight.limits;
      if (write === undefined || more !== undefined || !movesPosition(write.branch)) throw new Error(`no write: ${keyOf(copy)}`);
      const position = evaluated(write.branch, write.windowFs, stored);
      if (position === undefined) this.checked.failed += 1;
      else {
        this.checked.applied += 1;
        this.#compare(copy, sent.flight.operations as readonly Traced[], { stored, position, used: write.consumed });
      }
      after = position ?? stored;
      sent.answer = { applied: position !== undefined, state: asStored(after) };
      markDeniable(copy, after);
    });
    return { stored: this.#positionNumber(after), asker: writer };
  }

  /** Whether the operations of an applied write, one by one on what was stored, are admitted and leave what it left. */
  #compare(
    writer: Asker,
    operations: readonly Traced[],
    write: { readonly stored: Position | undefined; readonly position: Position; readonly used: bigint },
  ): void {
    const bucket = { fullAtMs: write.stored && ms(write.stored.fullAtFs), used: 0 };
    for (const operation of operations) {
      const startMs = operation.kind === 'post' ? writer.nowMs : ms(operation.startFs);
      if (!isAdmitted(bucket, operation.asked, startMs, writer.nowMs)) {
        throw new Error(`${operation.asked} is granted at ${write.stored?.fullAtFs}, and one by one it is not: ${keyOf(writer)}`);
      }
      if (operation.kind === 'post') continue;
      this.checked.granted += 1;
      if (startMs > writer.nowMs) this.checked.waited += 1;
    }
    if (fs(bucket.fullAtMs ?? 0) !== write.position.fullAtFs || bucket.used !== Number(write.used)) {
      throw new Error(
        `${write.position.fullAtFs} and ${write.used} used, one by one ${bucket.fullAtMs} and ${bucket.used}: ${keyOf(writer)}`,
      );
    }
  }
}
