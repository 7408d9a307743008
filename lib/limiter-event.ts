import type { Grant } from './admission/admission.js';
import { type Clock, nowFs } from './clock.js';
import { LimiterUnavailable } from './errors.js';
import type { Lease } from './lease.js';
import type { Outcome } from './limiter.js';
import type { Denial } from './rate-limit-exceeded.js';
import { ceilMs } from './report.js';
import type { AcquireRequest } from './request.js';

/** Whose request it was, and for what. */
type Of = Pick<AcquireRequest, 'entity' | 'resource'>;

/**
 * What became of a request, or of a settlement, told when it is known.
 *
 *     granted       its lease; a request that waited for its start: once it has come
 *     denied        why, as the caller is told
 *     unavailable   the database gave no answer, and what `onUnavailable` did; the grant or denial that this led to is told as well
 *     failed        any other error that was thrown, such as `Contended`, `QueueFull`, `NoLimitsConfigured`, or the signal's reason
 *     settled       what was charged has changed, one event a bucket: how long after the grant, and whether that could be written
 */
export type LimiterEvent =
  | (Of & { readonly kind: 'granted'; readonly lease: GrantedLease })
  | (Of & { readonly kind: 'denied'; readonly denial: Denial })
  | (Of & { readonly kind: 'unavailable'; readonly decided: 'deny' | 'allow' | 'local' })
  | (Of & { readonly kind: 'failed'; readonly error: unknown })
  | (Of & { readonly kind: 'settled'; readonly lagMs: number; readonly posted: boolean });

/** What a listener may know of a lease: to settle it is the caller's. */
export type GrantedLease = Pick<Lease, 'decidedBy' | 'waitedMs' | 'queuedAheadMs' | 'attempts' | 'overdrawn' | 'limits'>;

/** Called with each event before the caller has its answer, so it should return at once. What it throws, or rejects with, is dropped. */
export type OnEvent = (event: LimiterEvent) => void;

/** Tells a listener, if there is one. A listener's faults are none of the request's. */
export class EventTeller {
  readonly #onEvent: OnEvent | undefined;

  constructor(onEvent: OnEvent | undefined) {
    this.#onEvent = onEvent;
  }

  /** The outcome as it is, told to the listener first. */
  outcome(request: AcquireRequest, outcome: Promise<Outcome>): Promise<Outcome> {
    return this.#onEvent === undefined ? outcome : this.#toldFirst(request, outcome);
  }

  /** The database did not decide a request; `onUnavailable` did. */
  unavailable({ entity, resource }: Of, decided: 'allow' | 'local'): void {
    this.#tell({ kind: 'unavailable', entity, resource, decided });
  }

  /** One bucket's part of a settlement. Returns `posted`. */
  settled({ key: { entity, resource }, acquiredAtFs }: Grant, clock: Clock, posted: boolean): boolean {
    if (this.#onEvent === undefined) return posted;
    this.#tell({ kind: 'settled', entity, resource, lagMs: Math.max(0, ceilMs(nowFs(clock) - acquiredAtFs)), posted });
    return posted;
  }

  async #toldFirst(request: AcquireRequest, outcome: Promise<Outcome>): Promise<Outcome> {
    try {
      const known = await outcome;
      const { entity, resource } = request;
      if (known.granted) this.#tell({ kind: 'granted', entity, resource, lease: known.lease });
      else this.#tell({ kind: 'denied', entity, resource, denial: known.denial });
      return known;
    } catch (error) {
      // What was refused for its shape may name neither, and limits nobody.
      if (typeof request?.entity === 'string' && typeof request.resource === 'string') this.#failed(request, error);
      throw error;
    }
  }

  #failed({ entity, resource }: Of, error: unknown): void {
    if (error instanceof LimiterUnavailable) this.#tell({ kind: 'unavailable', entity, resource, decided: 'deny' });
    else this.#tell({ kind: 'failed', entity, resource, error });
  }

  #tell(event: LimiterEvent): void {
    try {
      const told: unknown = this.#onEvent?.(event);
      if (told instanceof Promise) told.catch(() => {});
    } catch {
      // Dropped, as promised.
    }
  }
}
