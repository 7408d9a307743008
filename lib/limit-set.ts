import { type Limit, parseLimit } from './core/limit.js';
import { InvalidArgument } from './errors.js';

/** How many limits one bucket has. */
export const MOST_LIMITS = 32;

/** Checks a list of limits that apply together: 1 to 32 of them, each legal, no name twice. */
export function parseLimits(value: unknown, field: string): readonly Limit[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MOST_LIMITS) {
    throw new InvalidArgument({ field, value, expected: `a list of 1 to ${MOST_LIMITS} limits` });
  }
  const limits = value.map((limit: unknown, index) => parseLimit(limit, `${field}[${index}]`));
  for (let index = 1; index < limits.length; index += 1) {
    const name = limits[index]?.name;
    if (limits.findIndex((limit) => limit.name === name) < index) {
      throw new InvalidArgument({
        field: `${field}[${index}].name`,
        value: name,
        expected: 'a name that no other limit of the list has',
      });
    }
  }
  return limits;
}
