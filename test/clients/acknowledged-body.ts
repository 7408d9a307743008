import type { ServerResponse } from 'node:http';

/** A piece of a body, and how many bytes its reader must have got for it before the next piece is sent. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly due: number;
}

/** A body of which a piece is sent only when its reader has got what was due for all pieces before: one that holds any of it back waits for ever. */
export class AcknowledgedBody {
  readonly #pieces: readonly Piece[];
  #received = 0;
  #wake: () => void = () => {};

  constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
  }

  /** The reader has got so many bytes more. */
  acknowledge(bytes: number): void {
    this.#received += bytes;
    this.#wake();
  }

  /** Sends all of it, but for the end. */
  async sendTo(response: Pick<ServerResponse, 'write'>): Promise<void> {
    let due = 0;
    for (const piece of this.#pieces) {
      response.write(piece.bytes);
      due += piece.due;
      while (this.#received < due) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

/** Every byte is due at once. */
export const dueAtOnce = (chunks: readonly Uint8Array[]): AcknowledgedBody =>
  new AcknowledgedBody(chunks.map((bytes) => ({ bytes, due: bytes.length })));
