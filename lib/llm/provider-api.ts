import type { CallContent } from './call-content.js';
import type { JsonObject } from './json-object.js';
import type { Usage } from './usage.js';

/** A call as it is to be forwarded. */
export interface PreparedCall {
  readonly ok: true;
  readonly model: string;
  /** The caller's own bytes, unless usage had to be asked for. */
  readonly body: Uint8Array;
  /** Usage was asked for, though the caller did not: what answers that is left out of the stream. */
  readonly addedUsage: boolean;
  readonly content: CallContent;
  /** The same call to another model of the same provider: its path and body. */
  readonly toModel: (model: string) => { readonly path: string; readonly body: Uint8Array };
}

/** A body that is no call. `message` says what was expected, for the caller to read; it quotes nothing of the body. */
export interface RefusedCall {
  readonly ok: false;
  readonly reason: 'not-json' | 'not-an-object' | 'model-missing' | 'model-invalid';
  readonly message: string;
}

/** Reads the usage out of a stream as it passes. */
export interface UsageReader {
  /** The usage told so far; undefined: none yet. Of a stream that broke off it is what had been produced, as far as it was told. */
  readonly usage: Usage | undefined;
  /** Reads the data of one event. True for an event that tells the usage and nothing else. */
  read(data: string): boolean;
}

/** Why a call is refused, for an error in the provider's shape. */
export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  /** The argument that is wrong; undefined: none. */
  readonly field?: string | undefined;
  /** Undefined: waiting does not help. */
  readonly retryAfterMs?: number | undefined;
}

/** One shape of API: what a request asks for, what an answer says it used, and how its clients are refused. */
export interface ProviderApi {
  readonly name: 'openai' | 'anthropic' | 'gemini' | 'bedrock';
  /** `unnamed`: what a call's model is taken for that may leave it to the server, and does. @default such a call is refused */
  readonly prepare: (body: Uint8Array, path: string, unnamed?: string) => PreparedCall | RefusedCall;
  /** The usage of an answer in one piece, of its body or else its headers; undefined when it states none. */
  readonly usageOf: (answer: unknown, headers: Headers) => Usage | undefined;
  readonly usageReader: () => UsageReader;
  /** The body of a refusal, as the provider would have written it, so that its client raises its own error. */
  readonly refusalBody: (refusal: Refusal) => JsonObject;
  /** What its client reads of a refusal beside the body. @default nothing */
  readonly refusalHeaders?: (refusal: Refusal) => Readonly<Record<string, string>>;
}
