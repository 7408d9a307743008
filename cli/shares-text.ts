import type { PriorityShares } from '../lib/config/priorities.js';
import { InvalidArgument } from '../lib/errors.js';

/** The shares that a text such as `low=0.5,normal=0.9` stands for. Throws `InvalidArgument` for another form; the library checks names and ranges. */
export function parseShares(text: string): Partial<PriorityShares> {
  const shares = text.split(',').map((part): [string, number] => {
    const [, priority, share] = /^([a-z]+)=([\d.]+)$/.exec(part) ?? [];
    if (priority === undefined)
      throw new InvalidArgument({ field: '--priorities', value: text, expected: 'PRIORITY=SHARE,…, such as low=0.5,normal=0.9' });
    return [priority, Number(share)];
  });
  return Object.fromEntries(shares) as Partial<PriorityShares>;
}
