/** What stands against an apply, so that it changes nothing, or nothing more. */
import { type Thing, thingText } from './thing.js';

export type Conflict =
  /** Somebody else is applying; after `untilMs` their place can be taken, unless they go on. */
  | { readonly reason: 'applying'; readonly by: string; readonly sinceMs: number; readonly untilMs: number }
  /** Since this was planned, others applied: that revision was the last. */
  | { readonly reason: 'applied'; readonly revision: number; readonly by: string; readonly atMs: number }
  /** Since this was planned, an apply has written that did not come to its end. */
  | { readonly reason: 'interrupted'; readonly revision: number }
  /** This apply wrote nothing for so long that another one took its place. */
  | { readonly reason: 'overtaken'; readonly by: string }
  /** Somebody changed, made or deleted it since this was planned. */
  | { readonly reason: 'changed'; readonly thing: Thing }
  /** It was to be removed, and has a child by now. */
  | { readonly reason: 'has children'; readonly thing: Thing };

/** A conflict as a person reads it. */
export function conflictText(conflict: Conflict): string {
  switch (conflict.reason) {
    case 'applying':
      return `${conflict.by} has been applying since ${timeText(conflict.sinceMs)}, until ${timeText(conflict.untilMs)} unless it goes on`;
    case 'applied':
      return `revision ${conflict.revision} was applied by ${conflict.by} at ${timeText(conflict.atMs)}, after this was planned`;
    case 'interrupted':
      return `an apply after revision ${conflict.revision} was interrupted, after this was planned`;
    case 'overtaken':
      return `${conflict.by} took over, because this apply had written nothing for too long`;
    case 'changed':
      return `${thingText(conflict.thing)} was changed by somebody else after this was planned`;
    case 'has children':
      return `${thingText(conflict.thing)} was to be removed, and has a child by now`;
  }
}

const timeText = (ms: number): string => new Date(ms).toISOString();

/** Ends an apply from within; never leaves this folder. */
export class Conflicted extends Error {
  override readonly name = 'Conflicted';

  constructor(readonly conflict: Conflict) {
    super(conflictText(conflict));
  }
}
