import { concatBytes } from './concat-bytes.js';

const PRELUDE_BYTES = 12;
const CRC_BYTES = 4;
/** The most that a message may hold, headers and payload: https://smithy.io/2.0/aws/amazon-eventstream.html */
const MOST_MESSAGE_BYTES = 24 * 1_024 * 1_024 + 128 * 1_024;

/**
 * Splits a byte stream into the messages of an AWS event stream (`application/vnd.amazon.eventstream`), whatever the cuts between its chunks. Each begins
 * with its length and that of its headers, 4 bytes each, big-endian. Checksums are left to the client. A stream that cannot be one is read no further.
 */
export class AwsEventStreamSplitter {
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #isBroken = false;

  /** The payloads that this chunk completes, in order, as text. The chunk must not be changed afterwards. */
  push(chunk: Uint8Array): string[] {
    if (this.#isBroken) return [];
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    const payloads: string[] = [];
    for (let payload = this.#next(); payload !== undefined; payload = this.#next()) payloads.push(payload);
    return payloads;
  }

  #next(): string | undefined {
    if (this.#heldBytes < PRELUDE_BYTES) return undefined;
    if ((this.#held[0]?.length ?? 0) < PRELUDE_BYTES) this.#join();
    const [first = new Uint8Array()] = this.#held;
    const prelude = new DataView(first.buffer, first.byteOffset, first.byteLength);
    const [length, headersLength] = [prelude.getUint32(0), prelude.getUint32(4)];
    if (length > MOST_MESSAGE_BYTES || length < PRELUDE_BYTES + headersLength + CRC_BYTES) {
      this.#isBroken = true;
      this.#held = [];
      return undefined;
    }
    if (this.#heldBytes < length) return undefined;
    if (first.length < length) this.#join();
    const [bytes = first] = this.#held;
    const payload = new TextDecoder().decode(bytes.subarray(PRELUDE_BYTES + headersLength, length - CRC_BYTES));
    this.#held[0] = bytes.subarray(length);
    this.#heldBytes -= length;
    return payload;
  }

  #join(): void {
    this.#held = [concatBytes(this.#held)];
  }
}
