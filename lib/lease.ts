import { randomUUID } from 'node:crypto';
import type { Grant } from './admission/admission.js';
import type { Counted } from './core/limit.js';
import type { Charge, Difference } from './core/settlement.js';
import { InvalidArgument, LeaseClosed, UnknownLimit } from './errors.js';
import type { LimitReport } from './report.js';
import { type ToldLevel, toldFloorFs } from './told-level.js';

/** Tokens by limit name. */
export type Tokens = Readonly<Record<string, number>>;

/** The tokens of one limit. Names such as `constructor` are legal, so only own fields count. */
export function tokensOf(tokens: Tokens, name: string): number | undefined {
  return Object.hasOwn(tokens, name) ? tokens[name] : undefined;
}

/** Who decided a lease: the database, or `onUnavailable` while there was no answer from it. */
export type DecidedBy = 'store' | 'allow' | 'local';

/** Where a lease posts its differences. Resolves false when they could not be written. */
export type PostDifferences = (grant: Grant, differences: readonly Difference[]) => Promise<boolean>;

/** What was really used of one resource. */
export interface SettledResource {
  readonly resource: string;
  readonly actual: Tokens;
}

export interface EndOptions {
  /** @default the charge of other resources stays */
  readonly also?: readonly SettledResource[];
  /** @default nobody told */
  readonly told?: readonly ToldLevel[] | undefined;
}

export interface LeaseParts {
  /** @default a random UUID */
  readonly id?: string;
  readonly entity: string;
  readonly resource: string;
  /** What was charged; computed when first asked for. */
  readonly grants: () => readonly Grant[];
  readonly decidedBy: DecidedBy;
  /** @default 0 */
  readonly waitedMs?: number;
  /** @default 0 */
  readonly queuedAheadMs?: number;
  /** @default 0 */
  readonly attempts?: () => number;
  /** @default null */
  readonly startsAt?: () => Date | null;
  /** What was left of every limit right after the grant; computed when first asked for. @default nothing is known */
  readonly limits?: () => readonly LimitReport[];
  readonly post: PostDifferences;
}

/**
 * A granted request. What it charged stays charged until it is adjusted, settled or released; a lease never ended keeps its charge.
 * Settling is never refused and never throws for want of an answer (finished work is not turned into an error): see `unposted`.
 */
export class Lease implements AsyncDisposable {
  readonly entity: string;
  readonly resource: string;
  readonly decidedBy: DecidedBy;
  /** Milliseconds from the request to the lease. */
  readonly waitedMs: number;
  /** How long the queue was, in milliseconds, when its place was taken; 0: there was none. */
  readonly queuedAheadMs: number;
  /** What it was made of: ids, dates and reports that nobody asks for cost nothing. */
  readonly #parts: LeaseParts;
  #id: string | undefined;
  #reports: readonly LimitReport[] | undefined;
  #changed: readonly Grant[] | undefined;
  #settled: Set<string> | undefined;
  #closed = false;
  #unposted = 0;

  constructor(parts: LeaseParts) {
    this.#parts = parts;
    this.#id = parts.id;
    this.entity = parts.entity;
    this.resource = parts.resource;
    this.decidedBy = parts.decidedBy;
    this.waitedMs = parts.waitedMs ?? 0;
    this.queuedAheadMs = parts.queuedAheadMs ?? 0;
  }

  get id(): string {
    this.#id ??= randomUUID();
    return this.#id;
  }

  /** When it starts; null for a lease from elsewhere, or beyond the range of dates. */
  get startsAt(): Date | null {
    return this.#parts.startsAt?.() ?? null;
  }

  /** Writes that it took to be granted, those that lost their race included: the most over its buckets. 0: it took none, or was granted elsewhere. */
  get attempts(): number {
    return this.#parts.attempts?.() ?? 0;
  }

  /** Every limit of every level as it stood right after the grant. */
  get limits(): readonly LimitReport[] {
    this.#reports ??= this.#parts.limits?.() ?? [];
    return this.#reports;
  }

  /** What is charged now on the lease's own resource, by limit: the most over the levels. */
  get charged(): Tokens {
    return Object.fromEntries(this.#charged(this.resource));
  }

  /** What each limit of its own resource counts, and with which weights; a limit of several levels once for each that differs. */
  get counts(): readonly Pick<Counted, 'name' | 'counts' | 'weights'>[] {
    return this.countsOn(this.resource);
  }

  /** The same of any resource that it was granted. */
  countsOn(resource: string): readonly Pick<Counted, 'name' | 'counts' | 'weights'>[] {
    const charges = this.grants.flatMap((grant) => (grant.key.resource === resource ? grant.charges : []));
    const each = charges.map(({ name, counts, weights }) => ({ name, counts, ...(weights && { weights }) }));
    return [...new Map(each.map((counted) => [JSON.stringify(counted), counted])).values()];
  }

  /** Observed limits that would have denied the request: they were not charged, and are not by its settlements. */
  get overdrawn(): readonly string[] {
    return [
      ...new Set(
        this.grants.flatMap(({ charges }) =>
          charges.flatMap(({ name, overdrawn, bypassed }) => (overdrawn && !bypassed ? [name] : [])),
        ),
      ),
    ];
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Adjustments, settlements and releases that could not be written: the database gave no answer in time. */
  get unposted(): number {
    return this.#unposted;
  }

  /** The grants with their charges as they are now, for a lease that travels. */
  get grants(): readonly Grant[] {
    this.#changed ??= this.#parts.grants();
    return this.#changed;
  }

  /**
   * Changes the charge by a difference, at every level that has the limit: `{ tpm: +1500 }` may go into debt, `{ tpm: -30 }` gives back.
   * On the lease's own resource, or another it was granted. Integers; a charge never goes below 0. Throws `LeaseClosed`, `UnknownLimit`,
   * `InvalidArgument`.
   */
  async adjust(difference: Tokens, { resource = this.resource }: { readonly resource?: string } = {}): Promise<void> {
    this.#open();
    const charged = this.#charged(resource);
    // A request that was let through uncounted has charged nothing: what its work then gives back is no error.
    const uncounted = this.decidedBy === 'allow';
    for (const [name, tokens] of this.#known(difference, 'difference', resource)) {
      const least = uncounted ? -Number.MAX_SAFE_INTEGER : -(charged.get(name) ?? 0);
      const most = this.#isSlot(name, resource) ? 0 : uncounted ? Number.MAX_SAFE_INTEGER : Number.MAX_SAFE_INTEGER + least;
      if (!Number.isSafeInteger(tokens) || tokens < least || tokens > most) {
        throw new InvalidArgument({
          field: `difference.${name}`,
          value: tokens,
          expected: `an integer from ${least}${uncounted ? '' : ' (all that is charged)'} to ${most}`,
        });
      }
    }
    await this.#charge(({ key }, { name, tokens }) => tokens + ((key.resource === resource && tokensOf(difference, name)) || 0));
  }

  /**
   * Makes the charge what it really was: `{ tpm: 2000 }`, an integer from 0. Limits not named stay as charged; a later settle replaces an
   * earlier one. On the lease's own resource, or another it was granted. Throws `LeaseClosed`, `UnknownLimit`, `InvalidArgument`.
   */
  async settle(actual: Tokens, { resource = this.resource }: { readonly resource?: string } = {}): Promise<void> {
    this.#open();
    const settled = [{ resource, actual }];
    this.#settle(settled);
    await this.#charge(settledTo(settled));
  }

  /**
   * Settles for good: makes the charge what it really was, gives back the slots of concurrency limits, and ends the lease, in one write a level.
   * Limits not named stay as charged. `also`: what was used of the other resources that it was granted. `told`: what is left of its own by somebody who
   * knows better; in the same write the levels that are above it are lowered to it, and none is raised. Throws as `settle` does.
   */
  async end(actual: Tokens = {}, { also = [], told = [] }: EndOptions = {}): Promise<void> {
    this.#open();
    const settled = [{ resource: this.resource, actual }, ...also];
    this.#settle(settled);
    this.#closed = true;
    await this.#charge(withoutSlots(settledTo(settled)), (grant, charge) =>
      grant.key.resource === this.resource ? toldFloorFs(told, grant, charge) : undefined,
    );
  }

  /** Gives back the slots of concurrency limits, and keeps all else as charged. The lease stays open. */
  async freeSlots(): Promise<void> {
    await this.#charge(withoutSlots((_, { tokens }) => tokens));
  }

  /** Gives back all that is charged now, a settled amount included, and ends the lease. Throws `LeaseClosed`. */
  async release(): Promise<void> {
    this.#open();
    this.#closed = true;
    await this.#charge(() => 0);
  }

  /** Ends the lease and gives back what was never settled: for work that failed. Nothing when the lease has ended. */
  async abandon(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#charge(
      withoutSlots(({ key }, { name, tokens }) => (this.#settled?.has(settledKey(key.resource, name)) ? tokens : 0)),
    );
  }

  /** Ends the lease and gives back the slots of concurrency limits; an unsettled charge stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closed) await this.end();
  }

  /** Checks what a settlement names, and notes that it is settled. */
  #settle(parts: readonly SettledResource[]): void {
    const keys = parts.flatMap(({ resource, actual }) => {
      const charged = this.#charged(resource);
      return this.#known(actual, 'actual', resource).map(([name, tokens]) => {
        const most = this.#isSlot(name, resource) ? (charged.get(name) ?? 0) : Number.MAX_SAFE_INTEGER;
        if (!Number.isSafeInteger(tokens) || tokens < 0 || tokens > most) {
          throw new InvalidArgument({ field: `actual.${name}`, value: tokens, expected: `an integer from 0 to ${most}` });
        }
        return settledKey(resource, name);
      });
    });
    this.#settled ??= new Set();
    for (const key of keys) this.#settled.add(key);
  }

  /** A slot is taken by an acquire or not at all. */
  #isSlot(name: string, resource: string): boolean {
    return this.grants.some(
      ({ key, charges }) => key.resource === resource && charges.some((charge) => charge.kind === 'slot' && charge.name === name),
    );
  }

  async #charge(to: ChargedTo, floor: FloorOf = () => undefined): Promise<void> {
    const before = this.grants;
    this.#changed = before.map((grant) => ({
      ...grant,
      charges: grant.charges.map((charge) => ({ ...charge, tokens: to(grant, charge) })),
    }));
    const posted = await Promise.all(
      before.map(async (grant) => {
        const differences = grant.charges
          .map((charge) => ({ charge, tokens: to(grant, charge) - charge.tokens, floorFs: floor(grant, charge) }))
          .filter(({ tokens, floorFs }) => tokens !== 0 || floorFs !== undefined);
        return differences.length === 0 || this.#parts.post(grant, differences);
      }),
    );
    this.#unposted += posted.filter((done) => !done).length;
  }

  #known(tokens: Tokens, field: string, resource: string): readonly [string, number][] {
    if (typeof tokens !== 'object' || tokens === null || Array.isArray(tokens)) {
      throw new InvalidArgument({ field, value: tokens, expected: 'an object of tokens by limit name' });
    }
    const charged = this.#charged(resource);
    const entries = Object.entries(tokens);
    for (const [name] of this.decidedBy === 'allow' ? [] : entries) {
      if (!charged.has(name)) throw new UnknownLimit({ limit: name, known: [...charged.keys()], where: field });
    }
    return entries;
  }

  #charged(resource: string): ReadonlyMap<string, number> {
    const charged = new Map<string, number>();
    for (const { key, charges } of this.grants) {
      if (key.resource !== resource) continue;
      for (const { name, tokens } of charges) charged.set(name, Math.max(charged.get(name) ?? 0, tokens));
    }
    return charged;
  }

  #open(): void {
    if (this.#closed) throw new LeaseClosed(this.id);
  }
}

/** What a charge becomes, in tokens. */
type ChargedTo = (grant: Grant, charge: Charge) => number;

/** The earliest instant at which a limit is full afterwards; undefined: any. */
type FloorOf = (grant: Grant, charge: Charge) => bigint | undefined;

const settledTo =
  (settled: readonly SettledResource[]): ChargedTo =>
  ({ key }, { name, tokens }) =>
    tokensOf(settled.find(({ resource }) => key.resource === resource)?.actual ?? {}, name) ?? tokens;

const withoutSlots =
  (to: ChargedTo): ChargedTo =>
  (grant, charge) =>
    charge.kind === 'slot' ? 0 : to(grant, charge);

const settledKey = (resource: string, limit: string): string => `${resource}#${limit}`;
