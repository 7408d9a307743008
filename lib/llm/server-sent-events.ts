import { concatBytes } from './concat-bytes.js';

/**
 * One block of an event stream, up to and including the blank line that ends it.
 * `bytes` are exactly the stream's, so all blocks in order are the stream; they may share memory with the chunk they came in.
 * `data` is its data lines decoded and joined by line feeds; undefined for a block without any (comments, blank lines, ids).
 */
export interface ServerSentEvent {
  readonly bytes: Uint8Array;
  readonly data: string | undefined;
}

/**
 * What the last byte was, when it was a carriage return: the end of a line of text, a blank line whose line feed may still
 * come, or a blank line that has already ended its event.
 */
type CarriageReturn = 'ended-text' | 'ended-blank' | 'ended-event';

/** The largest event that is read. Of a larger one each chunk is handed out as it comes, without data, so that nobody waits for its end. */
const MOST_EVENT_BYTES = 16 * 1_024 * 1_024;

const LF = 0x0a;
const CR = 0x0d;
const BYTE_ORDER_MARK = '\uFEFF';
const LINE_END = /\r\n|\n|\r/;

/**
 * Splits a byte stream into server-sent events, in time linear in its bytes (WHATWG HTML, section 9.2).
 * Lines end in LF, CRLF or CR. The events do not depend on where the chunks were cut: each byte moves one automaton.
 *
 * An event is handed out with the last byte of its blank line. A carriage return there leaves open whether a line feed follows:
 *
 *     data: x CR LF CR (LF)    the line before ended in CR LF: the event ends with the line feed, or with the next other byte
 *     data: x CR CR (LF)       the line before ended in CR alone: the event ends at once; a line feed opens the next one's bytes
 *
 * so that neither kind of stream keeps a finished event waiting for the next one.
 */
export class ServerSentEventSplitter {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #isTooLong = false;
  #atStart = true;
  #lineIsBlank = true;
  #carriageReturn: CarriageReturn | undefined;
  #carriageReturnsAlone = false;

  /** The events that this chunk completes, in order. The chunk must not be changed afterwards. */
  push(chunk: Uint8Array): ServerSentEvent[] {
    const events: ServerSentEvent[] = [];
    let start = 0;
    const endEventAt = (end: number): void => {
      this.#held.push(chunk.subarray(start, end));
      events.push(this.#takeHeld());
      start = end;
    };
    for (let index = 0; index < chunk.length; index += 1) {
      const byte = chunk[index];
      const before = this.#carriageReturn;
      this.#carriageReturn = undefined;
      if (before !== undefined) {
        this.#carriageReturnsAlone = byte !== LF;
        if (before === 'ended-blank') endEventAt(byte === LF ? index + 1 : index);
        if (byte === LF) continue;
      }
      if (byte === LF) {
        if (this.#lineIsBlank) endEventAt(index + 1);
        this.#lineIsBlank = true;
        this.#carriageReturnsAlone = false;
      } else if (byte === CR) {
        this.#carriageReturn = this.#lineIsBlank ? (this.#carriageReturnsAlone ? 'ended-event' : 'ended-blank') : 'ended-text';
        if (this.#carriageReturn === 'ended-event') endEventAt(index + 1);
        this.#lineIsBlank = true;
      } else {
        this.#lineIsBlank = false;
      }
    }
    if (start < chunk.length) {
      this.#held.push(chunk.subarray(start));
      this.#heldBytes += chunk.length - start;
      if (this.#heldBytes > MOST_EVENT_BYTES) {
        events.push({ bytes: concatBytes(this.#held), data: undefined });
        this.#isTooLong = true;
        this.#atStart = false;
        this.#held = [];
        this.#heldBytes = MOST_EVENT_BYTES;
      }
    }
    return events;
  }

  /** The last event, when the stream ended without the blank line that would have ended it; undefined when nothing is left. */
  flush(): ServerSentEvent | undefined {
    return this.#held.length === 0 ? undefined : this.#takeHeld();
  }

  #takeHeld(): ServerSentEvent {
    const bytes = concatBytes(this.#held);
    this.#held = [];
    this.#heldBytes = 0;
    if (this.#isTooLong) {
      this.#isTooLong = false;
      return { bytes, data: undefined };
    }
    const text = this.#decoder.decode(bytes);
    const data = dataOfLines(this.#atStart && text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text);
    this.#atStart = false;
    return { bytes, data };
  }
}

function dataOfLines(text: string): string | undefined {
  const data: string[] = [];
  for (const line of text.split(LINE_END)) {
    if (line === 'data') data.push('');
    else if (line.startsWith('data:')) data.push(line.slice(line.startsWith('data: ') ? 6 : 5));
  }
  return data.length === 0 ? undefined : data.join('\n');
}
