import { InvalidArgument } from './errors.js';

const MAX_BYTES = 256;
/** Control characters, lone surrogates, line and paragraph separators; `#` separates the parts of a key. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}#]/u;

/** Checks the name of an entity, resource, tier or namespace: 1 to 256 bytes of UTF-8, printable, no `#`. */
export function checkName(value: unknown, field: string): asserts value is string {
  if (typeof value !== 'string' || value.length === 0 || UNPRINTABLE.test(value) || tooLong(value)) {
    throw new InvalidArgument({ field, value, expected: `1 to ${MAX_BYTES} bytes of printable UTF-8 without #` });
  }
}

/** A UTF-16 unit is at most three bytes of UTF-8, so most names need no counting. */
const tooLong = (value: string): boolean => value.length * 3 > MAX_BYTES && Buffer.byteLength(value, 'utf8') > MAX_BYTES;

/** Checks a table's name, 3 to 255 of `A-Z a-z 0-9 _ - .`, or its ARN. */
export function checkTableName(value: unknown): asserts value is string {
  if (typeof value !== 'string' || !/^([A-Za-z0-9_.-]{3,255}|arn:[A-Za-z0-9_.:/-]{10,1019})$/.test(value)) {
    throw new InvalidArgument({
      field: 'tableName',
      value,
      expected: '3 to 255 characters of A-Z a-z 0-9 _ - ., or the ARN of a table',
    });
  }
}

/** Checks that an object has no fields but the known ones: a typo is an error, never a default. */
export function checkFields(value: unknown, known: readonly string[], field: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InvalidArgument({ field, value, expected: 'an object' });
  for (const name in value) {
    if (!known.includes(name)) {
      throw new InvalidArgument({
        field: `${field}.${name}`,
        value: (value as Record<string, unknown>)[name],
        expected: `left out: ${field} has the fields ${known.join(', ')}`,
      });
    }
  }
}
