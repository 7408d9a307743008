import PQueue from 'p-queue';
import { PRIORITIES, type Priority } from './config/priorities.js';
import { InvalidArgument } from './errors.js';
import { checkFields } from './names.js';

export interface PriorityQueueOptions {
  /** How many works may run at a time, an integer from 1. */
  readonly maxConcurrent: number;
}

export interface QueuedOptions {
  /** How urgent the work is: what is more urgent starts first, however long the rest has waited. @default 'normal' */
  readonly priority?: Priority | undefined;
  /** Takes the work out of the queue. Work that has started is not stopped, unless it listens itself. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Lets so many callers of one process work at a time, the most urgent first: `await queue.run(() => callLlm(), { priority: 'high' })`. First come,
 * first served within a priority; while a place is free, work starts at once. Any number may wait, and under a steady load of urgent work the rest
 * waits for as long as that lasts. For a bound over all processes see `Limit.concurrent`.
 */
export class PriorityQueue {
  readonly #queue: PQueue;

  /** Throws `InvalidArgument`. */
  constructor(options: PriorityQueueOptions) {
    checkFields(options, ['maxConcurrent'], 'options');
    const { maxConcurrent } = options;
    if (!Number.isSafeInteger(maxConcurrent) || maxConcurrent < 1) {
      throw new InvalidArgument({
        field: 'maxConcurrent',
        value: maxConcurrent,
        expected: `an integer from 1 to ${Number.MAX_SAFE_INTEGER}`,
      });
    }
    this.#queue = new PQueue({ concurrency: maxConcurrent });
  }

  /**
   * What `work` returns, once it had its turn. Rejects with what it throws, with the signal's reason when that aborts before the work has started
   * (which then never does, and leaves its place to the next), and with `InvalidArgument`.
   */
  async run<T>(work: () => Promise<T> | T, options: QueuedOptions = {}): Promise<T> {
    checkFields(options, ['priority', 'signal'], 'options');
    const { priority = 'normal', signal } = options;
    if (typeof work !== 'function') throw new InvalidArgument({ field: 'work', value: work, expected: 'a function' });
    if (!PRIORITIES.includes(priority)) {
      throw new InvalidArgument({ field: 'priority', value: priority, expected: `one of ${PRIORITIES.join(', ')}` });
    }
    if (signal !== undefined && !(signal instanceof AbortSignal)) {
      throw new InvalidArgument({ field: 'signal', value: signal, expected: 'an AbortSignal' });
    }
    signal?.throwIfAborted();
    // A signal of our own, deaf once the work has started: p-queue would take the place of running work for free.
    const leave = new AbortController();
    const aborted = () => leave.abort(signal?.reason);
    signal?.addEventListener('abort', aborted, { once: true });
    return this.#queue.add(
      async () => {
        signal?.removeEventListener('abort', aborted);
        return work();
      },
      { priority: PRIORITIES.indexOf(priority), signal: leave.signal },
    );
  }

  /** How many works wait for their turn. */
  get size(): number {
    return this.#queue.size;
  }

  /** How many works run now. */
  get running(): number {
    return this.#queue.pending;
  }

  /** Resolves when nothing runs and nothing waits: at once on a queue at rest. */
  async onIdle(): Promise<void> {
    await this.#queue.onIdle();
  }
}
