import { UpdateItemCommand, type UpdateItemCommandInput } from '@aws-sdk/client-dynamodb';
import { answerTimes, CLOSEST_TO_THE_ANSWER, type LearningClock } from './dynamo-clock.js';
import { INSIDE_RETRIES, singleAttempt } from './dynamo-send.js';
import type { CallSignal } from './store.js';

type Resolve = UpdateItemCommand['resolveMiddleware'];
type Stack = Parameters<Resolve>[0];
type Handler = Parameters<Resolve>[1]['requestHandler'];

/** A client's middleware for bucket writes, as it was put together for the first of them. */
interface Assembled {
  /** The functions that the client's stack held then. */
  readonly from: readonly unknown[];
  readonly send: ReturnType<Resolve>;
}

/** Makes the command of one bucket write. `signal` ends the call. */
export type UpdateCommands = (input: UpdateItemCommandInput, signal: CallSignal | undefined) => UpdateItemCommand;

/**
 * The commands of bucket writes: each an UpdateItem that is sent once, without the SDK's retries, through the client as it was given. Nearly all calls are
 * such writes, and the SDK spends a fifth of a call on putting its middleware together; here it is put together again only when some was added to
 * the client, or removed. `clock` is told of the server's time in every answer.
 */
export function updateCommands(clock: LearningClock | undefined): UpdateCommands {
  const assembled = new WeakMap<Stack, Assembled>();
  class BucketUpdate extends UpdateItemCommand {
    /** An own field, so that it travels with the input through the middleware. */
    readonly signal: CallSignal | undefined;

    constructor(input: UpdateItemCommandInput, signal: CallSignal | undefined) {
      super(input);
      this.signal = signal;
    }

    override resolveMiddleware(...[stack, configuration, options]: Parameters<Resolve>): ReturnType<Resolve> {
      const from = functionsOf(stack);
      const known = assembled.get(stack);
      if (known !== undefined && same(known.from, from)) return known.send;
      const signals = new WeakMap<object, CallSignal>();
      this.middlewareStack.add(singleAttempt, INSIDE_RETRIES);
      this.middlewareStack.add(answerTimes(clock), CLOSEST_TO_THE_ANSWER);
      this.middlewareStack.add(noted(signals), { ...CLOSEST_TO_THE_ANSWER, name: 'headgateSignals' });
      const requestHandler = signalled(configuration.requestHandler, signals);
      const send = super.resolveMiddleware(stack, { ...configuration, requestHandler }, options);
      assembled.set(stack, { from, send });
      return send;
    }
  }
  return (input, signal) => new BucketUpdate(input, signal);
}

/** The middleware functions in a stack: those of the client, and what its user added. */
function functionsOf(stack: Stack): readonly unknown[] {
  const functions: unknown[] = [];
  const note = (middleware: unknown) => {
    functions.push(middleware);
  };
  stack.applyToStack({ add: note, addRelativeTo: note, identifyOnResolve: () => false } as unknown as Stack);
  return functions;
}

const same = (a: readonly unknown[], b: readonly unknown[]): boolean =>
  a.length === b.length && a.every((one, index) => one === b[index]);

/** A middleware that notes which signal ends which request. */
const noted =
  (signals: WeakMap<object, CallSignal>) =>
  <Args, Result>(next: (args: Args) => Promise<Result>) =>
  (args: Args): Promise<Result> => {
    const { request, signal } = args as { readonly request?: object; readonly signal?: CallSignal };
    if (request !== undefined && signal !== undefined) signals.set(request, signal);
    return next(args);
  };

/** The client's request handler, which ends each request by its own signal: the options of a call are fixed when its middleware is put together. */
function signalled(handler: Handler, signals: WeakMap<object, CallSignal>): Handler {
  const handle: Handler['handle'] = (request, options) => {
    const abortSignal = signals.get(request);
    return handler.handle(request, abortSignal === undefined ? options : { ...options, abortSignal });
  };
  return Object.create(handler, { handle: { value: handle } }) as Handler;
}
