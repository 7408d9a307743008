import { randomUUID } from 'node:crypto';
import type { ChunkToCome, SimulatedUpstream } from '../../local/upstream/simulated-upstream.js';

/** How a stream ends: all of it is read, its client leaves by either way, or the provider's connection breaks. */
export const FATES = ['read', 'cancelled', 'aborted', 'broken'] as const;
export type Fate = (typeof FATES)[number];

/** One streaming call, and when it ends. */
export interface Conducted {
  readonly fate: Fate;
  /** After so many events, at least 1; a stream that has fewer is read to its end. */
  readonly afterEvents: number;
  /** Whether the answer is read on when its client has left. */
  readonly readsOn: boolean;
}

/** What a client saw of its stream. */
export interface Seen {
  readonly text: string;
  readonly ended: Fate;
  /** Tokens that the provider had produced when its connection broke or its client left. */
  readonly producedTokens: number;
}

const CALL_HEADER = 'x-conducted-call';

interface Underway extends Conducted {
  readEvents: number;
  producedTokens: number;
  goOn: () => void;
}

/**
 * Keeps the provider in step with its clients: it produces an event once the client has read all before it, so that what was produced when a stream
 * ends early is known exactly. Nothing waits for time.
 */
export class Conductor {
  readonly #underway = new Map<string, Underway>();

  constructor(upstream: SimulatedUpstream) {
    upstream.behaviour.beforeChunk = (chunk) => this.#goesOn(chunk);
  }

  /** Makes a call by `send`, which is to add the headers, and reads its stream as far as it is meant to go. Throws for an answer that is not 200. */
  async stream(
    conducted: Conducted,
    send: (headers: Readonly<Record<string, string>>, signal: AbortSignal) => Promise<Response>,
  ): Promise<Seen> {
    const id = randomUUID();
    const underway: Underway = { ...conducted, readEvents: 0, producedTokens: 0, goOn: () => {} };
    this.#underway.set(id, underway);
    const abort = new AbortController();
    const answer = await send({ [CALL_HEADER]: id }, abort.signal);
    if (answer.status !== 200 || answer.body === null) throw new Error(`${answer.status}: ${await answer.text()}`);
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    let text = '';
    let ended: Fate = 'read';
    try {
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        text += decoder.decode(read.value, { stream: true });
        const events = text.match(/\r?\n\r?\n/g)?.length ?? 0;
        const leaves = (underway.fate === 'cancelled' || underway.fate === 'aborted') && events >= underway.afterEvents;
        if (leaves) {
          ended = underway.fate;
          if (ended === 'aborted') abort.abort();
          else await reader.cancel();
          break;
        }
        underway.readEvents = events;
        underway.goOn();
      }
    } catch (error) {
      if (ended !== 'aborted' && underway.fate !== 'broken') throw error;
      if (ended !== 'aborted') ended = 'broken';
    }
    // What is read on has no reader to keep in step with.
    underway.readEvents = Number.POSITIVE_INFINITY;
    if (ended === 'read' || ended === 'broken' || underway.readsOn) underway.goOn();
    return { text, ended, producedTokens: underway.producedTokens };
  }

  /** False: the connection breaks here. */
  async #goesOn({ headers, index, producedTokens }: ChunkToCome): Promise<boolean> {
    const underway = this.#underway.get(String(headers[CALL_HEADER]));
    if (underway === undefined) return true;
    underway.producedTokens = producedTokens;
    while (underway.readEvents < index) {
      await new Promise<void>((resolve) => {
        underway.goOn = resolve;
      });
    }
    return !(underway.fate === 'broken' && index === underway.afterEvents);
  }
}
