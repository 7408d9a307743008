import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { limitsText, limitText, parseLimitText } from '../../lib/config/limit-text.js';
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

  it.each<{ text: string; limit: Limit }>([
    {
      text: 'rpm=60/minute; x0.5 at * 9-16 * * 1-5 Europe/Paris',
      limit: Limit.perMinute('rpm', 60, { schedule: [{ cron: '* 9-16 * * 1-5', timeZone: 'Europe/Paris', scale: 0.5 }] }),
    },
    {
      text: 'rpm=60/minute,burst=90; 30/second at 0,30 9 * * *; 10/90s,burst=20 at * * * * SUN',
      limit: Limit.perMinute('rpm', 60, {
        burst: 90,
        schedule: [
          { cron: '0,30 9 * * *', capacity: 30, refillAmount: 30, refillPeriodMs: 1_000 },
          { cron: '* * * * SUN', capacity: 20, refillAmount: 10, refillPeriodMs: 90_000 },
        ],
      }),
    },
    {
      text: 'rpm=60/minute; refillAmount=120 at * 0-5 * * *; capacity=5,refillPeriodMs=1000 at * 6 * * *',
      limit: Limit.perMinute('rpm', 60, {
        schedule: [
          { cron: '* 0-5 * * *', refillAmount: 120 },
          { cron: '* 6 * * *', capacity: 5, refillPeriodMs: 1_000 },
        ],
      }),
    },
    {
      text: 'usd=100/calendar-day,timeZone=Europe/Paris; capacity=150 at * 9-23 * * * UTC',
      limit: Limit.quota('usd', 100, {
        per: 'day',
        timeZone: 'Europe/Paris',
        schedule: [{ cron: '* 9-23 * * *', timeZone: 'UTC', capacity: 150 }],
      }),
    },
    {
      text: 'inflight=20/lease-2m,mode=observe; x0.0000001 at * * 1 1 *',
      limit: Limit.concurrent('inflight', 20, {
        leaseMs: 120_000,
        mode: 'observe',
        schedule: [{ cron: '* * 1 1 *', scale: 0.0000001 }],
      }),
    },
  ])('$text is that scheduled limit, and the limit has a text that stands for it', ({ text, limit }) => {
    expect(parseLimitText(text)).toEqual(limit);
    expect(limitText(limit)).toBe(text.replace('0.0000001', '1e-7'));
    expect(parseLimitText(limitText(limit))).toEqual(limit);
  });

  it('has its spaces as a person likes them', () => {
    expect(limitText(parseLimitText(' rpm=60/minute ;x2  at  *  9 * *  *   UTC '))).toBe('rpm=60/minute; x2 at * 9 * * * UTC');
    expect(limitsText([Limit.perDay('rpd', 5), parseLimitText('rpm=6/minute; x2 at * 9 * * *')])).toBe(
      'rpd=5/day [rpm=6/minute; x2 at * 9 * * *]',
    );
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
    { text: 'rpm=1/minute;', message: 'Expected limit rpm.schedule[0] to be CHANGE at CRON [TIME-ZONE]' },
    { text: 'rpm=1/minute; x2', message: 'Expected limit rpm.schedule[0] to be CHANGE at CRON [TIME-ZONE]' },
    { text: 'rpm=1/minute; 30 at * * * * *', message: 'Expected limit rpm.schedule[0] to be CHANGE at CRON [TIME-ZONE]' },
    { text: 'rpm=1/minute; x2 at * * * *', message: 'Expected limit rpm.schedule[0] to be CHANGE at CRON [TIME-ZONE]' },
    { text: 'rpm=1/minute; x0 at * * * * *', message: 'Expected limit rpm.schedule[0].scale to be a number above 0' },
    { text: 'rpm=1/minute; xx at * * * * *', message: 'Expected limit rpm.schedule[0].scale to be a number above 0' },
    { text: 'rpm=1/minute; x2 at * 25 * * *', message: 'Expected limit rpm.schedule[0].cron to be five fields' },
    { text: 'rpm=1/minute; x2 at * 5 * * * Mars', message: 'Expected limit rpm.schedule[0].timeZone to be' },
    { text: 'rpm=1/minute; 0/minute at * 5 * * *', message: 'Expected limit rpm.schedule[0].capacity to be an integer from 1' },
    { text: 'usd=1/calendar-day; 5/minute at * 5 * * *', message: 'Expected limit usd.schedule[0]' },
  ])('$text is refused by name', ({ text, message }) => {
    expect(() => parseLimitText(text)).toThrow(message);
  });
});
