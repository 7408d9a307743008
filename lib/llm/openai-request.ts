import { withJsonMember } from './json-member.js';
import { isJsonObject, type JsonObject } from './json-object.js';
import { endpointOfPath, type OpenAiEndpoint } from './openai-endpoint.js';

/**
 * A call as it is to be forwarded. `body` is the caller's own array unless usage had to be asked for; then `addedUsage` is true, and
 * the usage chunk is to be dropped from the answer. `parsed` is what the caller sent, before anything was added.
 */
export interface PreparedOpenAiRequest {
  readonly ok: true;
  readonly endpoint: OpenAiEndpoint | undefined;
  readonly model: string;
  readonly stream: boolean;
  readonly body: Uint8Array;
  readonly addedUsage: boolean;
  readonly parsed: JsonObject;
}

/** A body that cannot be forwarded. `message` says what was expected, for the caller to read; it quotes nothing of the body. */
export interface RefusedOpenAiRequest {
  readonly ok: false;
  readonly reason: 'not-json' | 'not-an-object' | 'model-missing' | 'model-invalid';
  readonly message: string;
}

const NOT_JSON = { ok: false, reason: 'not-json', message: 'Expected the body to be JSON in UTF-8' } as const;

/**
 * What to forward to an OpenAI-compatible provider for a call to `path`, or why it cannot be forwarded.
 * A chat completion's stream states its usage only when asked: unless `stream_options.include_usage` is true it is set, the other
 * stream options kept; `stream_options` that is no object is replaced. All other bytes stay. Other endpoints, and answers in one piece,
 * always state their usage: their body is passed on untouched.
 */
export function prepareOpenAiRequest(body: Uint8Array, path: string): PreparedOpenAiRequest | RefusedOpenAiRequest {
  const text = textOfUtf8(body);
  if (text === undefined) return NOT_JSON;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return NOT_JSON;
  }
  if (!isJsonObject(parsed)) {
    return { ok: false, reason: 'not-an-object', message: `Expected the body to be a JSON object, got ${kindOf(parsed)}` };
  }
  const { model } = parsed;
  if (model === undefined) return { ok: false, reason: 'model-missing', message: 'Expected the field model, which is missing' };
  if (typeof model !== 'string' || model === '') {
    const got = model === '' ? 'an empty one' : kindOf(model);
    return { ok: false, reason: 'model-invalid', message: `Expected the field model to be a non-empty string, got ${got}` };
  }
  const endpoint = endpointOfPath(path);
  const stream = parsed.stream === true;
  const addedUsage = stream && endpoint === 'chat' && !asksForUsage(parsed.stream_options);
  return { ok: true, endpoint, model, stream, body: addedUsage ? withUsageAskedFor(text) : body, addedUsage, parsed };
}

function textOfUtf8(body: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    return undefined;
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function asksForUsage(streamOptions: unknown): boolean {
  return isJsonObject(streamOptions) && streamOptions.include_usage === true;
}

function withUsageAskedFor(json: string): Uint8Array {
  const asked = withJsonMember(json, 'stream_options', (current) =>
    withJsonMember(current?.startsWith('{') ? current : '{}', 'include_usage', () => 'true'),
  );
  return new TextEncoder().encode(asked);
}
