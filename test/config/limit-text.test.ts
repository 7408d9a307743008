import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { limitText, parseLimitText } from '../../lib/config/limit-text.js';
import { Limit } from '../../lib/core/limit.js';

describe('the text of a limit', () => {
  it.each([
    { text: 'rpm=60/minute', limit: Limit.perMinute('rpm', 60) },
    { text: 'tps=5/second', limit: Limit.perSecond('tps', 5) },
    { text: 'rph=7/hour,burst=3', limit: Limit.perHour('rph', 7, { burst: 3 }) },
    { text: 'rpd=7/day,mode=observe', limit: Limit.perDay('rpd', 7, { mode: 'observe' }) },
    { text: 'a.b=2/90s', limit: Limit.custom({ name: 'a.b', capacity: 2, refillAmount: 2, refillPeriodMs: 90_000 }) },
    {
      text: 'usd=5000000/calendar-month,timeZone=Europe/Paris',
      limit: Limit.quota('usd', 5_000_000, { per: 'month', timeZone: 'Europe/Paris' }),
    },
    { text: 'rpd=9/calendar-day', limit: Limit.quota('rpd', 9, { per: 'day' }) },
    { text: 'messages=50/session-5h', limit: Limit.window('messages', 50, { everyMs: 18_000_000 }) },
    { text: 'inflight=20/lease-2m', limit: Limit.concurrent('inflight', 20, { leaseMs: 120_000 }) },
    { text: 'slots=3/lease-250ms', limit: Limit.concurrent('slots', 3, { leaseMs: 250 }) },
    {
      text: 'words=9/minute,counts=tokens,output=5',
      limit: Limit.perMinute('words', 9, { counts: 'tokens', weights: { output: 5 } }),
    },
  ])('$text is that limit, and the limit has a text that stands for it', ({ text, limit }) => {
    expect(parseLimitText(text)).toEqual(limit);
    expect(parseLimitText(limitText(limit))).toEqual(limit);
  });

  it('is as it was written, in the largest unit that holds a time whole', () => {
    expect(limitText(parseLimitText('rpm=60/60s'))).toBe('rpm=60/minute');
    expect(limitText(parseLimitText('rpm=60/5400s,burst=61'))).toBe('rpm=60/90m,burst=61');
    expect(limitText(parseLimitText('m=1/session-120m'))).toBe('m=1/session-2h');
  });

  it('comes back from any bucket as the same limit', () => {
    const bucket = fc.record({
      name: fc.stringMatching(/^[A-Za-z0-9_.-]{1,12}$/),
      capacity: fc.integer({ min: 1, max: 1_000_000 }),
      refillAmount: fc.integer({ min: 1, max: 1_000_000 }),
      refillPeriodMs: fc.integer({ min: 1, max: 86_400_000 }),
      mode: fc.constantFrom('enforce' as const, 'observe' as const),
      counts: fc.constantFrom('requests' as const, 'tokens' as const, 'custom' as const),
    });
    fc.assert(
      fc.property(bucket, (fields) => {
        const limit = Limit.custom(fields);
        expect(parseLimitText(limitText(limit))).toEqual(limit);
      }),
    );
  });

  it.each([
    { text: 'rpm', message: 'Expected limit to be NAME=AMOUNT/PERIOD' },
    { text: 'rpm=60', message: 'Expected limit to be NAME=AMOUNT/PERIOD' },
    { text: 'rpm=60/fortnight', message: 'Expected limit to be NAME=AMOUNT/PERIOD' },
    { text: 'rpm=60/minute,burst', message: 'Expected limit to be NAME=AMOUNT/PERIOD' },
    { text: 'rpm=0/minute', message: 'Expected limit rpm.capacity to be an integer from 1 to 9007199254740991, got 0' },
    { text: 'rpm=1/minute,mode=loud', message: 'Expected limit rpm.mode to be one of enforce, observe, got "loud"' },
    { text: 'rpm=1/minute,bursts=2', message: 'Expected limit rpm.bursts to be left out' },
    {
      text: 'usd=1/calendar-day,burst=2',
      message: 'Expected limit usd.burst to be left out: only a refilled limit has a burst, got 2',
    },
    { text: 'usd=1/calendar-day,timeZone=Mars', message: 'Expected limit usd.timeZone to be' },
  ])('$text is refused by name', ({ text, message }) => {
    expect(() => parseLimitText(text)).toThrow(message);
  });
});
