import { AwsEventStreamSplitter } from './aws-event-stream.js';
import { concatBytes } from './concat-bytes.js';
import type { PreparedCall, ProviderApi, UsageReader } from './provider-api.js';
import { type ServerSentEvent, ServerSentEventSplitter } from './server-sent-events.js';
import { jsonOf, type Usage } from './usage.js';

/** Reads along with an answer's bytes: gives back what may go on, and keeps what it learned of the usage. */
export interface Meter {
  readonly usage: Usage | undefined;
  passOn(chunk: Uint8Array): Uint8Array;
  /** What was held back for an event whose end never came; empty when all has gone on. */
  passOnRest(): Uint8Array;
}

/** Called once, when the answer was read to its end, has failed, or was cancelled, with the usage told by then. */
export type Ended = (usage: Usage | undefined) => Promise<void>;

/** What becomes of an answer that nobody reads any more: it is cancelled, or read to its end for its usage alone. */
export const WHEN_CLIENT_LEAVES = ['cancel', 'readOn'] as const;
export type WhenClientLeaves = (typeof WHEN_CLIENT_LEAVES)[number];

export interface MeteredOptions {
  /** A body that nobody reads ends with it; else never, for nothing is read ahead. With `cancel` it must end the upstream as well, with `readOn` not. */
  readonly signal?: AbortSignal | undefined;
  /** @default 'cancel' */
  readonly whenClientLeaves?: WhenClientLeaves;
  /** The longest silence of an upstream that is waited for, in milliseconds; after it the upstream is cancelled, and the body breaks. @default none */
  readonly idleTimeoutMs?: number;
}

/**
 * The upstream's bytes on their way to the caller, as the meter passes them on. `end` is waited for before the body ends, so that whoever has read it
 * all knows that its cost is booked; the bytes themselves never wait. When the upstream breaks, what it had sent is handed on, then the body
 * fails with the upstream's error. Throws a TypeError when `upstream` is already locked to another reader.
 */
export function metered(
  upstream: ReadableStream<Uint8Array>,
  meter: Meter,
  end: Ended,
  { signal, whenClientLeaves = 'cancel', idleTimeoutMs }: MeteredOptions = {},
): ReadableStream<Uint8Array> {
  const reader = upstream.getReader();
  const readsOn = whenClientLeaves === 'readOn';
  let hasLeft = false;
  let ending: Promise<void> | undefined;
  const ended = (): Promise<void> => {
    signal?.removeEventListener('abort', aborted);
    ending ??= end(meter.usage);
    return ending;
  };
  let broken: { readonly error: unknown } | undefined;

  /** What may go on next; undefined at the end. A break is thrown only once what came before it has gone on. */
  const next = async (): Promise<Uint8Array | undefined> => {
    if (broken) throw broken.error;
    try {
      const read = await (idleTimeoutMs === undefined ? reader.read() : readWithin(reader, idleTimeoutMs));
      if (!read.done) return meter.passOn(read.value);
    } catch (error) {
      broken = { error };
    }
    const rest = meter.passOnRest();
    if (rest.length > 0) return rest;
    if (broken) throw broken.error;
    return undefined;
  };

  /** To the upstream's end, for its usage alone. */
  const drained = async (): Promise<void> => {
    hasLeft = true;
    try {
      while ((await next()) !== undefined);
    } catch {
      // Nobody is left to be told; what was told until then counts.
    }
    await ended();
  };

  let errored: (reason: unknown) => void = () => {};
  function aborted(): void {
    if (!readsOn) return void ended();
    void drained();
    errored(signal?.reason);
  }
  signal?.addEventListener('abort', aborted);

  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        errored = (reason) => controller.error(reason);
      },
      async pull(controller) {
        let bytes: Uint8Array | undefined;
        try {
          bytes = await next();
          while (bytes?.length === 0) bytes = await next();
        } catch (error) {
          if (!hasLeft) await ended();
          throw error;
        }
        if (hasLeft) return;
        if (bytes) return controller.enqueue(bytes);
        await ended();
        controller.close();
      },
      async cancel(reason) {
        if (readsOn) void drained();
        else await Promise.all([ended(), reader.cancel(reason)]);
      },
    },
    { highWaterMark: 0 },
  );
}

type Reader = ReadableStreamDefaultReader<Uint8Array>;

/** The next chunk. Throws a `TimeoutError`, and cancels, when there is none in time. */
async function readWithin(reader: Reader, timeoutMs: number): ReturnType<Reader['read']> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new DOMException(`Nothing came for ${timeoutMs} ms`, 'TimeoutError')), timeoutMs);
  });
  try {
    return await Promise.race([reader.read(), late]);
  } catch (error) {
    reader.cancel(error).catch(() => {});
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** What reads along with the answer to a call. */
export function meterOf(
  api: ProviderApi,
  { addedUsage }: Pick<PreparedCall, 'addedUsage'>,
  { headers }: Pick<Response, 'headers'>,
): Meter {
  const type = (headers.get('content-type') ?? '').toLowerCase();
  // Usage is asked for in streams alone, which some providers give no type, or another.
  if (type.includes('text/event-stream') || (addedUsage && !type.includes('json')))
    return new StreamMeter(api.usageReader(), { dropUsageChunk: addedUsage });
  if (type.includes('application/vnd.amazon.eventstream')) return new AwsStreamMeter(api.usageReader());
  return new AnswerMeter((answer) => api.usageOf(answer, headers));
}

/**
 * Reads a provider's event stream. Without `dropUsageChunk` each chunk goes on as it came; with it, each event goes on as soon as its last byte is
 * here, but for the one that tells nothing but the usage, because the caller did not ask for it. Chunks with `usage: null` stay as they are.
 */
export class StreamMeter implements Meter {
  readonly #splitter = new ServerSentEventSplitter();
  readonly #reader: UsageReader;
  readonly #dropUsageChunk: boolean;

  constructor(reader: UsageReader, { dropUsageChunk }: { readonly dropUsageChunk: boolean }) {
    this.#reader = reader;
    this.#dropUsageChunk = dropUsageChunk;
  }

  get usage(): Usage | undefined {
    return this.#reader.usage;
  }

  passOn(chunk: Uint8Array): Uint8Array {
    const kept = this.#keep(this.#splitter.push(chunk));
    return this.#dropUsageChunk ? kept : chunk;
  }

  passOnRest(): Uint8Array {
    const last = this.#splitter.flush();
    const kept = this.#keep(last ? [last] : []);
    return this.#dropUsageChunk ? kept : new Uint8Array();
  }

  #keep(events: readonly ServerSentEvent[]): Uint8Array {
    const kept = events.filter(({ data }) => data === undefined || !this.#reader.read(data));
    return concatBytes(kept.map(({ bytes }) => bytes));
  }
}

/** Reads an AWS event stream, whose chunks go on as they came. */
class AwsStreamMeter implements Meter {
  readonly #splitter = new AwsEventStreamSplitter();
  readonly #reader: UsageReader;

  constructor(reader: UsageReader) {
    this.#reader = reader;
  }

  get usage(): Usage | undefined {
    return this.#reader.usage;
  }

  passOn(chunk: Uint8Array): Uint8Array {
    for (const payload of this.#splitter.push(chunk)) this.#reader.read(payload);
    return chunk;
  }

  passOnRest(): Uint8Array {
    return new Uint8Array();
  }
}

/** The largest answer in one piece that is read: of a larger one the bytes go on, and no usage is told. */
const MOST_ANSWER_BYTES = 64 * 1_024 * 1_024;

/** Reads an answer in one piece, which is parsed at its end. */
export class AnswerMeter implements Meter {
  readonly #usageOf: (answer: unknown) => Usage | undefined;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  usage: Usage | undefined;

  constructor(usageOf: (answer: unknown) => Usage | undefined) {
    this.#usageOf = usageOf;
  }

  passOn(chunk: Uint8Array): Uint8Array {
    this.#bytes += chunk.length;
    if (this.#bytes > MOST_ANSWER_BYTES) this.#chunks = [];
    else this.#chunks.push(chunk);
    return chunk;
  }

  passOnRest(): Uint8Array {
    if (this.#bytes > MOST_ANSWER_BYTES) return new Uint8Array();
    this.usage = this.#usageOf(jsonOf(new TextDecoder().decode(concatBytes(this.#chunks))));
    return new Uint8Array();
  }
}
