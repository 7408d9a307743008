import cliProgress from 'cli-progress';

/** How far long work has come, as people see it on standard error: the answer stands alone on standard output. */
export interface Progress {
  /** `done` of the total; `note`: what it has come to, in a few words. */
  at(done: number, note: string): void;
  /** What is written after it stands on a line of its own. `complete`: all was done, though less than the total was counted. @default false */
  end(complete?: boolean): void;
}

/** Where progress is shown: standard error, or what a test reads instead. */
export type ProgressStream = Pick<NodeJS.WriteStream, 'write'> & { readonly isTTY?: boolean };

const LINE_EVERY_MS = 1_000;

/**
 * A bar on a terminal; elsewhere a line a second at most, the first and the last among them; nothing when it is to be `silent`, as with --json.
 * `total`: an estimate will do, since a bar that reaches it stays full; undefined: unknown.
 */
export function progress(
  label: string,
  { total, silent = false }: { readonly total?: number | undefined; readonly silent?: boolean | undefined },
  stream: ProgressStream = process.stderr,
): Progress {
  if (silent) return { at: () => {}, end: () => {} };
  return stream.isTTY ? bar(label, total, stream as NodeJS.WriteStream) : lines(label, stream);
}

function bar(label: string, total: number | undefined, stream: NodeJS.WriteStream): Progress {
  const format = total === undefined ? `${label} {note}` : `${label} {bar} {percentage}% {note}`;
  const drawn = new cliProgress.SingleBar({ format, stream, barsize: 30, hideCursor: true }, cliProgress.Presets.shades_classic);
  drawn.start(total ?? 1, 0, { note: '' });
  return {
    at(done, note) {
      drawn.update(Math.min(done, drawn.getTotal()), { note });
    },
    end(complete = false) {
      if (complete) drawn.update(drawn.getTotal());
      drawn.stop();
    },
  };
}

function lines(label: string, stream: ProgressStream): Progress {
  let shownAtMs = Number.NEGATIVE_INFINITY;
  let last: string | undefined;
  const show = (note: string) => {
    stream.write(`${label} ${note}\n`);
    shownAtMs = performance.now();
    last = undefined;
  };
  return {
    at(_done, note) {
      if (performance.now() - shownAtMs >= LINE_EVERY_MS) show(note);
      else last = note;
    },
    end() {
      if (last !== undefined) show(last);
    },
  };
}
