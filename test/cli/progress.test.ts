import { Writable } from 'node:stream';
import { expect, it } from 'vitest';
import { type ProgressStream, progress } from '../../cli/progress.js';

/** A stream that keeps what is written to it, as a terminal or as a pipe would. */
function kept(isTTY: boolean): { readonly stream: ProgressStream; readonly text: () => string } {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, written) {
      text += String(chunk);
      written();
    },
  });
  return {
    stream: Object.assign(stream, { isTTY, columns: 120, cursorTo: () => true, clearLine: () => true }),
    text: () => text,
  };
}

it('is lines where another program reads it: the first, the last, and at most one a second between', () => {
  const { stream, text } = kept(false);
  const shows = progress('Purging acme:', { total: 100 }, stream);
  for (let done = 1; done <= 100; done += 1) shows.at(done, `${done} done`);
  shows.end();
  expect(text()).toBe('Purging acme: 1 done\nPurging acme: 100 done\n');
});

it('is one line where there was one step, and none where there was none', () => {
  const { stream, text } = kept(false);
  progress('Nothing:', {}, stream).end();
  const shows = progress('One:', {}, stream);
  shows.at(1, 'done');
  shows.end();
  expect(text()).toBe('One: done\n');
});

it('is a bar on a terminal, which stays full where there was more than the estimate', () => {
  const { stream, text } = kept(true);
  const shows = progress('Purging acme:', { total: 10 }, stream);
  shows.at(25, '25 looked at');
  shows.end();
  expect(text()).toContain(`Purging acme: ${'█'.repeat(30)} 100% 25 looked at`);
});

it('is a full bar where all was done before the estimate was reached, and no other', () => {
  for (const complete of [true, false]) {
    const { stream, text } = kept(true);
    const shows = progress('Purging acme:', { total: 10 }, stream);
    shows.at(5, '5 looked at');
    shows.end(complete);
    expect(text().includes('100%')).toBe(complete);
  }
});

it('is a note without a bar on a terminal where the total is not known', () => {
  const { stream, text } = kept(true);
  const shows = progress('Purging acme:', {}, stream);
  shows.at(25, '25 looked at');
  shows.end();
  expect(text()).toContain('Purging acme: 25 looked at');
  expect(text()).not.toContain('%');
});

it('is nothing where it is to be silent', () => {
  const { stream, text } = kept(true);
  const shows = progress('Purging acme:', { total: 10, silent: true }, stream);
  shows.at(5, 'x');
  shows.end();
  expect(text()).toBe('');
});
