import type { CallSignal } from '../store/store.js';

/** How long a decision may take in real time, and the signal that ends its calls. Ended by `done`, so that no timer outlives it. */
export class Deadline {
  readonly #signal = new DeadlineSignal();
  readonly #timer: NodeJS.Timeout;
  readonly #atMs: number;

  constructor(readonly ms: number) {
    this.#atMs = performance.now() + ms;
    this.#timer = setTimeout(() => this.#signal.abort(new DOMException(`no answer within ${ms} ms`, 'TimeoutError')), ms);
  }

  get signal(): CallSignal {
    return this.#signal;
  }

  get passed(): boolean {
    return this.#signal.aborted || performance.now() >= this.#atMs;
  }

  /** Waits `ms` of real time; false, at once, when the deadline comes before. */
  async pause(ms: number): Promise<boolean> {
    if (performance.now() + ms >= this.#atMs) return false;
    await new Promise((resolve) => setTimeout(resolve, ms));
    return !this.passed;
  }

  done(): void {
    clearTimeout(this.#timer);
  }
}

/** What of an AbortSignal a call needs: one is made for every write, and an AbortController with its listeners costs as much as deciding does. */
class DeadlineSignal implements CallSignal {
  aborted = false;
  reason: unknown;
  readonly #listeners: (() => void)[] = [];

  get onabort(): (() => void) | null {
    return this.#listeners.at(-1) ?? null;
  }

  /** Every listener is told, the earlier ones too. */
  set onabort(listener: (() => void) | null) {
    if (listener !== null) this.#listeners.push(listener);
  }

  abort(reason: unknown): void {
    this.aborted = true;
    this.reason = reason;
    for (const listener of this.#listeners) listener();
  }
}
