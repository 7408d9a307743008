/** Times and periods as a person writes them: `90m`, `minute`. */
const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
type Unit = keyof typeof UNIT_MS;
const WORD_MS: Readonly<Record<string, number>> = { second: 1_000, minute: 60_000, hour: 3_600_000, day: 86_400_000 };

/** Milliseconds of a time such as `90m`, or of a word such as `minute`; undefined for what is neither. */
export function timeMs(text: string): number | undefined {
  if (Object.hasOwn(WORD_MS, text)) return WORD_MS[text];
  const [, amount, unit] = /^(\d+)(ms|s|m|h|d)$/.exec(text) ?? [];
  return amount === undefined ? undefined : Number(amount) * UNIT_MS[unit as Unit];
}

/** A word where there is one. */
export function periodText(ms: number): string {
  return Object.entries(WORD_MS).find(([, wordMs]) => wordMs === ms)?.[0] ?? timeText(ms);
}

/** In the largest unit that holds it whole. */
export function timeText(ms: number): string {
  const units = Object.entries(UNIT_MS).reverse();
  const [unit, unitMs] = units.find(([, each]) => ms % each === 0) ?? ['ms', 1];
  return `${ms / unitMs}${unit}`;
}
