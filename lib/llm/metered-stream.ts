import { concatBytes } from './concat-bytes.js';
import { isJsonObject } from './json-object.js';
import { type ServerSentEvent, ServerSentEventSplitter } from './server-sent-events.js';
import { type Usage, usageOfOpenAi } from './usage.js';

/**
 * A provider's event stream on its way to the caller, and what it cost.
 * `usage` never rejects. It resolves with the last usage seen (undefined if none was) when `body` has been read to its end, has
 * failed, or was cancelled; a body that nobody reads keeps it pending, for nothing is read ahead of the caller.
 */
export interface MeteredStream {
  readonly body: ReadableStream<Uint8Array>;
  readonly usage: Promise<Usage | undefined>;
}

/** `dropUsageChunk`: leave out the chunk of `choices: []` and `usage`, because the caller did not ask for it. */
export interface MeterOptions {
  readonly dropUsageChunk: boolean;
}

/**
 * The upstream's event stream, passed on byte for byte while its usage is read.
 * Without `dropUsageChunk` each chunk goes on as it came; with it, each event goes on as soon as its last byte is here, and
 * chunks with `usage: null` stay as they are. When the upstream breaks, what it had sent is handed on, then the body fails with the
 * upstream's error. Cancelling the body cancels the upstream: to learn the usage after the client has left, read on to the end.
 * Throws a TypeError when `upstream` is already locked to another reader.
 */
export function meterOpenAiStream(upstream: ReadableStream<Uint8Array>, options: MeterOptions): MeteredStream {
  const reader = upstream.getReader();
  const meter = new StreamMeter(options.dropUsageChunk);
  let tellUsage: (usage: Usage | undefined) => void = () => {};
  const usage = new Promise<Usage | undefined>((resolve) => {
    tellUsage = resolve;
  });
  let broken: { readonly error: unknown } | undefined;

  /** What may go on next; undefined at the end. A break is thrown only once what came before it has gone on. */
  const next = async (): Promise<Uint8Array | undefined> => {
    if (broken) throw broken.error;
    try {
      const read = await reader.read();
      if (!read.done) return meter.passOn(read.value);
    } catch (error) {
      broken = { error };
    }
    const rest = meter.passOnRest();
    if (rest.length > 0) return rest;
    if (broken) throw broken.error;
    return undefined;
  };

  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          let bytes = await next();
          while (bytes?.length === 0) bytes = await next();
          if (bytes) return controller.enqueue(bytes);
          controller.close();
          tellUsage(meter.usage);
        } catch (error) {
          tellUsage(meter.usage);
          throw error;
        }
      },
      async cancel(reason) {
        tellUsage(meter.usage);
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
  return { body, usage };
}

/** Reads along with the stream: keeps the last usage, and gives back what may go on. */
class StreamMeter {
  readonly #splitter = new ServerSentEventSplitter();
  readonly #dropUsageChunk: boolean;
  usage: Usage | undefined;

  constructor(dropUsageChunk: boolean) {
    this.#dropUsageChunk = dropUsageChunk;
  }

  passOn(chunk: Uint8Array): Uint8Array {
    const kept = this.#keep(this.#splitter.push(chunk));
    return this.#dropUsageChunk ? kept : chunk;
  }

  /** What was held for an event whose end never came; empty when all has gone on. */
  passOnRest(): Uint8Array {
    const last = this.#splitter.flush();
    const kept = this.#keep(last ? [last] : []);
    return this.#dropUsageChunk ? kept : new Uint8Array();
  }

  #keep(events: readonly ServerSentEvent[]): Uint8Array {
    return concatBytes(events.filter((event) => !this.#isUsageChunk(event)).map((event) => event.bytes));
  }

  #isUsageChunk({ data }: ServerSentEvent): boolean {
    const chunk = jsonWithUsage(data);
    this.usage = usageOfOpenAi(chunk) ?? this.usage;
    return isJsonObject(chunk) && isJsonObject(chunk.usage) && Array.isArray(chunk.choices) && chunk.choices.length === 0;
  }
}

/** Most chunks are content alone: only those that name a usage are worth parsing. */
function jsonWithUsage(data: string | undefined): unknown {
  if (!data?.includes('"usage"')) return undefined;
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
