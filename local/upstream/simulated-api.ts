/** One shape of API that the simulated provider speaks. */
export interface SimulatedApi {
  readonly endpoints: readonly Endpoint[];
  /** An error in the provider's shape. */
  readonly failed: (status: number, message: string) => object;
}

export interface Endpoint {
  readonly path: RegExp;
  /** Of a stream. @default text/event-stream */
  readonly contentType?: string;
  /** What a body asks for, or what is wrong with it. */
  readonly asked: (body: JsonObject, path: string) => Asked | string;
  readonly answer: (produced: Produced, body: JsonObject) => object;
  readonly events: (produced: Produced, body: JsonObject) => readonly StreamEvent[];
}

/** What of a stream is written at once, and whether a token of the output comes with it: what is left of them comes with the stream's end. */
export interface StreamEvent {
  readonly bytes: string | Uint8Array;
  readonly isWord: boolean;
}

export type JsonObject = Readonly<Record<string, unknown>>;

export interface Asked {
  readonly model: string;
  /** The prompt's. */
  readonly characters: number;
  /** The most output tokens that the caller allows. */
  readonly mostOutput: number;
  readonly streams: boolean;
}

/** What a call came to. */
export interface Produced {
  readonly serial: number;
  readonly model: string;
  readonly words: readonly string[];
  readonly promptTokens: number;
  readonly outputTokens: number;
}

/** Characters of a prompt: of text what is written, of anything else its JSON. */
export function charactersOf(contents: readonly unknown[]): number {
  return contents.reduce<number>(
    (sum, content) => sum + (typeof content === 'string' ? content : JSON.stringify(content ?? '')).length,
    0,
  );
}

/** The smallest of these limits on the output, or what is wrong with one of them. */
export function mostOutputOf(limits: Readonly<Record<string, unknown>>): number | string {
  let most = Number.POSITIVE_INFINITY;
  for (const [field, limit] of Object.entries(limits)) {
    if (limit === undefined || limit === null) continue;
    if (!Number.isInteger(limit) || (limit as number) < 1)
      return `Expected ${field} to be an integer of at least 1, got ${JSON.stringify(limit)}`;
    most = Math.min(most, limit as number);
  }
  return most;
}

export const isList = (value: unknown): value is readonly JsonObject[] =>
  Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'object' && one !== null);

/** An event with a name, as Anthropic and the Responses API send them. */
export const namedEvent = (data: { readonly type: string }, isWord = false): StreamEvent => ({
  bytes: `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`,
  isWord,
});
