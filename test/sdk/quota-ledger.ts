/** What quotas and sessions promise, as a bookkeeper would check it: a list of charges, each in the window that a wall calendar says. */

/** A limit as the bookkeeper knows it. */
export type LedgerLimit =
  | { readonly name: string; readonly capacity: number; readonly per: 'day' | 'month'; readonly timeZone: string }
  | { readonly name: string; readonly capacity: number; readonly everyMs: number };

/** One limit's part of a lease. */
interface Charge {
  readonly limit: string;
  /** The window in which it was made: a date such as 2028-02-29, a month such as 2028-02, or a session's first instant. */
  readonly window: string;
  tokens: number;
}

/** Everywhere, clocks are set and days begin at a quarter of an hour. */
const QUARTER_MS = 900_000;

/** A calendar on a wall of a zone, and what it showed in quarters of an hour that were looked at. */
interface Wall {
  readonly format: Intl.DateTimeFormat;
  readonly shown: Map<number, string>;
}

const walls = new Map<string, Wall>();

/** The date that a calendar on a wall of that zone shows: 2028-02-29. */
function wallDate(timeZone: string, atMs: number): string {
  let wall = walls.get(timeZone);
  if (wall === undefined) {
    const format = new Intl.DateTimeFormat('sv-SE', { timeZone, year: 'numeric', month: '2-digit', day: '2-digit' });
    wall = { format, shown: new Map() };
    walls.set(timeZone, wall);
  }
  const quarter = Math.floor(atMs / QUARTER_MS);
  const date = wall.shown.get(quarter) ?? wall.format.format(quarter * QUARTER_MS);
  wall.shown.set(quarter, date);
  return date;
}

export class QuotaLedger {
  readonly #limits: readonly LedgerLimit[];
  readonly #charges: Charge[] = [];
  /** The first instant of each session limit's last window. */
  readonly #sessions = new Map<string, number>();

  constructor(limits: readonly LedgerLimit[]) {
    this.#limits = limits;
  }

  /** The name of the window that an instant is in. */
  #window(limit: LedgerLimit, atMs: number): string {
    if ('everyMs' in limit) {
      const startMs = this.#sessions.get(limit.name);
      return startMs === undefined || atMs >= startMs + limit.everyMs ? 'none' : String(startMs);
    }
    const date = wallDate(limit.timeZone, atMs);
    return limit.per === 'day' ? date : date.slice(0, 7);
  }

  /** The first millisecond after the window that an instant is in. */
  endMs(limit: LedgerLimit, atMs: number): number {
    if ('everyMs' in limit) return Number(this.#window(limit, atMs)) + limit.everyMs || atMs;
    const window = this.#window(limit, atMs);
    const first = Math.floor(atMs / QUARTER_MS);
    let [inside, outside] = [first, first + 4 * (limit.per === 'day' ? 50 : 32 * 24)];
    while (outside - inside > 1) {
      const middle = Math.floor((inside + outside) / 2);
      if (this.#window(limit, middle * QUARTER_MS) === window) inside = middle;
      else outside = middle;
    }
    return outside * QUARTER_MS;
  }

  #left(limit: LedgerLimit, atMs: number): number {
    const window = this.#window(limit, atMs);
    let left = limit.capacity;
    for (const charge of this.#charges) if (charge.limit === limit.name && charge.window === window) left -= charge.tokens;
    return left;
  }

  /** Whether the window of one of these charges is over. */
  ended(charges: readonly Charge[], atMs: number): boolean {
    return this.#limits.some((limit, index) => charges[index]?.window !== this.#window(limit, atMs));
  }

  /** What is left of each limit. */
  available(atMs: number): Record<string, number> {
    return Object.fromEntries(this.#limits.map((limit) => [limit.name, this.#left(limit, atMs)]));
  }

  /** How long until these costs fit, in milliseconds; 0: they do. */
  waitMs(consume: Readonly<Record<string, number>>, atMs: number): number {
    return Math.max(
      ...this.#limits.map((limit) => {
        return (consume[limit.name] ?? 0) > this.#left(limit, atMs) ? this.endMs(limit, atMs) - atMs : 0;
      }),
    );
  }

  /** Books an admitted request: a charge on every limit. */
  admit(consume: Readonly<Record<string, number>>, atMs: number): readonly Charge[] {
    const charges = this.#limits.map((limit) => {
      if ('everyMs' in limit && this.#window(limit, atMs) === 'none') this.#sessions.set(limit.name, atMs);
      return { limit: limit.name, window: this.#window(limit, atMs), tokens: consume[limit.name] ?? 0 };
    });
    this.#charges.push(...charges);
    return charges;
  }
}
