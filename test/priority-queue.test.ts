import fc from 'fast-check';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { InvalidArgument, type Priority, PriorityQueue } from '../lib/index.js';

/** Work that ends when it is told to, and notes when it starts. */
function held(started: string[] = [], name = 'held') {
  let end: () => void = () => {};
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const work = async () => {
    started.push(name);
    await ended;
    return name;
  };
  return { work, end };
}

const noting = (started: string[], name: string) => () => {
  started.push(name);
};

it('starts the most urgent first, and those of one priority in the order in which they came', async () => {
  const queue = new PriorityQueue({ maxConcurrent: 1 });
  const started: string[] = [];
  const first = held(started, 'first');
  const running = queue.run(first.work);
  const names = ['low-1', 'normal-1', 'critical-1', 'high-1', 'low-2', 'critical-2', 'normal-2', 'high-2'];
  const waiting = names.map((name) => queue.run(noting(started, name), { priority: name.split('-')[0] as Priority }));

  expect([queue.running, queue.size]).toEqual([1, 8]);
  first.end();
  await Promise.all([running, ...waiting]);

  expect(started).toEqual(['first', 'critical-1', 'critical-2', 'high-1', 'high-2', 'normal-1', 'normal-2', 'low-1', 'low-2']);
  expect([queue.running, queue.size]).toEqual([0, 0]);
});

it('holds work without a priority for normal', async () => {
  const queue = new PriorityQueue({ maxConcurrent: 1 });
  const started: string[] = [];
  const first = held();
  const all = [queue.run(first.work)];
  for (const name of ['low', 'none', 'normal', 'high']) {
    const options = name === 'none' ? {} : { priority: name as Priority };
    all.push(queue.run(async () => `${started.push(name)}`, options));
  }
  first.end();
  await Promise.all(all);
  expect(started).toEqual(['high', 'none', 'normal', 'low']);
});

it('keeps the order of any arrivals, and never runs more than maxConcurrent', async () => {
  const arrivals = fc.array(fc.constantFrom<Priority>('low', 'normal', 'high', 'critical'), { maxLength: 60 });
  await fc.assert(
    fc.asyncProperty(arrivals, fc.integer({ min: 1, max: 5 }), async (priorities, maxConcurrent) => {
      const queue = new PriorityQueue({ maxConcurrent });
      const blockers = Array.from({ length: maxConcurrent }, () => held());
      const blocked = blockers.map(({ work }) => queue.run(work));
      const started: { readonly priority: Priority; readonly index: number }[] = [];
      let running = 0;
      let most = 0;
      const all = priorities.map((priority, index) =>
        queue.run(
          async () => {
            started.push({ priority, index });
            running += 1;
            most = Math.max(most, running);
            await Promise.resolve();
            running -= 1;
          },
          { priority },
        ),
      );
      for (const { end } of blockers) end();
      await Promise.all([...blocked, ...all]);

      const urgency = { critical: 0, high: 1, normal: 2, low: 3 };
      const wanted = priorities
        .map((priority, index) => ({ priority, index }))
        .sort((a, b) => urgency[a.priority] - urgency[b.priority] || a.index - b.index);
      expect(started).toEqual(wanted);
      expect(most).toBeLessThanOrEqual(maxConcurrent);
    }),
  );
});

it('returns what the work returns, and passes its errors through, thrown or rejected, going on with the next', async () => {
  const queue = new PriorityQueue({ maxConcurrent: 1 });
  const failure = new Error('the model is down');

  const answers = await Promise.allSettled([
    queue.run(() => 1),
    queue.run(() => {
      throw failure;
    }),
    queue.run(() => Promise.reject(failure)),
    queue.run(async () => 'last'),
  ]);

  expect(answers).toEqual([
    { status: 'fulfilled', value: 1 },
    { status: 'rejected', reason: failure },
    { status: 'rejected', reason: failure },
    { status: 'fulfilled', value: 'last' },
  ]);
  expectTypeOf(queue.run(() => 1)).toEqualTypeOf<Promise<number>>();
});

describe('a signal that aborts', () => {
  it('while the work waits, takes it out of the queue, and rejects with its reason', async () => {
    const queue = new PriorityQueue({ maxConcurrent: 1 });
    const started: string[] = [];
    const first = held(started, 'first');
    const running = queue.run(first.work);
    const leaving = new AbortController();
    const left = queue.run(noting(started, 'left'), { signal: leaving.signal });
    const next = queue.run(noting(started, 'next'));
    expect(queue.size).toBe(2);

    leaving.abort('no longer needed');

    await expect(left).rejects.toBe('no longer needed');
    expect(queue.size).toBe(1);
    first.end();
    await Promise.all([running, next]);
    expect(started).toEqual(['first', 'next']);
  });

  it('before the work is queued, rejects with its reason', async () => {
    const queue = new PriorityQueue({ maxConcurrent: 1 });
    const started: string[] = [];
    await expect(queue.run(noting(started, 'never'), { signal: AbortSignal.abort('too late') })).rejects.toBe('too late');
    expect([started, queue.size, queue.running]).toEqual([[], 0, 0]);
  });

  it('while the work runs, leaves it its place and its result', async () => {
    const queue = new PriorityQueue({ maxConcurrent: 1 });
    const started: string[] = [];
    const first = held(started, 'first');
    const stopping = new AbortController();
    const running = queue.run(first.work, { signal: stopping.signal });
    const next = queue.run(noting(started, 'next'));

    stopping.abort();
    await Promise.resolve();

    expect([queue.running, queue.size, started]).toEqual([1, 1, ['first']]);
    first.end();
    expect(await running).toBe('first');
    await next;
    expect(started).toEqual(['first', 'next']);
  });
});

it('onIdle resolves when all has ended, work added meanwhile included, and at once at rest', async () => {
  const queue = new PriorityQueue({ maxConcurrent: 1 });
  await queue.onIdle();
  const started: string[] = [];
  const first = held(started, 'first');
  const running = queue.run(first.work);
  const idle = queue.onIdle().then(() => started.push('idle'));
  const added = queue.run(noting(started, 'added'));
  first.end();
  await Promise.all([running, added, idle]);
  expect(started).toEqual(['first', 'added', 'idle']);
});

describe('refuses', () => {
  /** Values that TypeScript refuses, as a JavaScript caller may give them. */
  const loose = <T>(value: unknown): T => value as T;

  it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '3', null, undefined])('maxConcurrent %j', (maxConcurrent) => {
    const make = () => new PriorityQueue({ maxConcurrent: loose(maxConcurrent) });
    expect(make).toThrow(InvalidArgument);
    expect(make).toThrow(`Expected maxConcurrent to be an integer from 1 to 9007199254740991, got `);
  });

  it.each([
    { options: undefined, says: 'Expected options to be an object, got undefined' },
    {
      options: { concurrency: 3 },
      says: 'Expected options.concurrency to be left out: options has the fields maxConcurrent, got 3',
    },
  ])('the options $options', ({ options, says }) => {
    expect(() => new PriorityQueue(loose(options))).toThrow(says);
  });

  it.each([
    { work: 'callLlm', options: {}, says: 'Expected work to be a function, got "callLlm"' },
    {
      work: () => {},
      options: { priority: 'HIGH' },
      says: 'Expected priority to be one of low, normal, high, critical, got "HIGH"',
    },
    { work: () => {}, options: { priority: 1 }, says: 'Expected priority to be one of low, normal, high, critical, got 1' },
    { work: () => {}, options: { signal: {} }, says: 'Expected signal to be an AbortSignal, got {}' },
    {
      work: () => {},
      options: { timeout: 5 },
      says: 'Expected options.timeout to be left out: options has the fields priority, signal',
    },
  ])('run with $options', async ({ work, options, says }) => {
    const queue = new PriorityQueue({ maxConcurrent: 1 });
    await expect(queue.run(loose(work), loose(options))).rejects.toThrow(says);
    expect([queue.size, queue.running]).toEqual([0, 0]);
  });
});
