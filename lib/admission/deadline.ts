/** How long a decision may take in real time, and the signal that ends its calls. Ended by `done`, so that no timer outlives it. */
export class Deadline {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #atMs: number;

  constructor(readonly ms: number) {
    this.#atMs = performance.now() + ms;
    this.#timer = setTimeout(() => this.#controller.abort(new DOMException(`no answer within ${ms} ms`, 'TimeoutError')), ms);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get passed(): boolean {
    return this.#controller.signal.aborted || performance.now() >= this.#atMs;
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
