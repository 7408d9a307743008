import { HeadgateError } from '../lib/errors.js';

/** What the process ends with. Documented in docs/command-line.md, and part of the public contract. */
export const EXIT = {
  done: 0,
  /** The database gave no answer, or something unforeseen happened. */
  failed: 1,
  /** A command, option or value that is none. */
  usage: 2,
  /** A request was not admitted. */
  denied: 3,
  /** There is nothing of that name. */
  notFound: 4,
  /** What is there stands against it, or others changed it at the same time. */
  conflict: 5,
  /** `doctor` found something that keeps Headgate from working. */
  unwell: 6,
  /** Something differs, of a command that was asked to say so: `--exit-code`. */
  differs: 7,
} as const;

const BY_CODE: Readonly<Record<string, number>> = {
  InvalidArgument: EXIT.usage,
  UnknownLimit: EXIT.usage,
  RateLimitExceeded: EXIT.denied,
  CostExceedsCapacity: EXIT.denied,
  CostExceedsShard: EXIT.denied,
  ResourceDisabled: EXIT.denied,
  ResourceNotAllowed: EXIT.denied,
  ContextTooLong: EXIT.denied,
  Interrupted: EXIT.denied,
  NotFound: EXIT.notFound,
  NoLimitsConfigured: EXIT.notFound,
  EntityExists: EXIT.conflict,
  EntityHasChildren: EXIT.conflict,
  KeyNotActive: EXIT.conflict,
  NamespaceExists: EXIT.conflict,
  ChangeConflict: EXIT.conflict,
  Contended: EXIT.conflict,
};

/** The exit code of an error. */
export const exitCodeOf = (error: unknown): number =>
  (error instanceof HeadgateError ? BY_CODE[error.code] : undefined) ?? EXIT.failed;

/** There is nothing of the name that a command was given. */
export class NotFound extends HeadgateError {
  readonly code = 'NotFound';
}

/** The user ended it before it was decided. */
export class Interrupted extends HeadgateError {
  readonly code = 'Interrupted';
}
