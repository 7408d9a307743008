/**
 * A decimal number as an exact count of millionths: 0.1 is 100000n. Undefined unless it is from 0 to `most` (itself at most 1,000,000) with at most
 * six decimal places.
 *
 * A number is taken for the decimal it prints as. Below 10^12 millionths no two decimals of six places share a double, so dividing back tells
 * whether this one is such a decimal.
 */
export function millionths(value: unknown, most: number): bigint | undefined {
  if (typeof value !== 'number' || !(value >= 0 && value <= most)) return undefined;
  const count = Math.round(value * 1e6);
  return count / 1e6 === value ? BigInt(count) : undefined;
}
