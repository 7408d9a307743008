/** What learns the server's time from DynamoDB's answers; see core/clock-offset.ts. */
export interface LearningClock {
  /** Its own time, in milliseconds, without what it learned. */
  machineMs(): number;
  /** Told of an answer: sent and received at these readings of `machineMs`, with this time of the server in it, whole seconds since the epoch. */
  observe(sentMs: number, receivedMs: number, serverSeconds: number): void;
}

/** Where the middleware stands: as close to the wire as there is, inside retries and signing, where failed answers are answers too. */
export const CLOSEST_TO_THE_ANSWER = { step: 'deserialize', priority: 'low', name: 'headgateAnswerTimes' } as const;

/**
 * A command middleware that tells the clock of the `Date` in every HTTP answer, those of failed conditions and of refused signatures
 * included.
 * `clock` undefined: tells nobody.
 */
export function answerTimes(clock: LearningClock | undefined) {
  return <Args, Result extends { readonly response: unknown }>(next: (args: Args) => Promise<Result>) =>
    async (args: Args): Promise<Result> => {
      if (clock === undefined) return next(args);
      const sentMs = clock.machineMs();
      const result = await next(args);
      const receivedMs = clock.machineMs();
      const serverMs = Date.parse(dateHeader(result.response));
      if (Number.isFinite(serverMs)) clock.observe(sentMs, receivedMs, serverMs / 1_000);
      return result;
    };
}

/** The `Date` of an HTTP response; empty where there is none. Node's handler names headers in lower case, others need not. */
function dateHeader(response: unknown): string {
  const headers = (response as { readonly headers?: Readonly<Record<string, string | undefined>> } | undefined)?.headers;
  return headers?.date ?? headers?.Date ?? '';
}
