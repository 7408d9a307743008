import { isJsonObject, type JsonObject } from './json-object.js';
import type { RefusedCall } from './provider-api.js';

const NOT_JSON: RefusedCall = { ok: false, reason: 'not-json', message: 'Expected the body to be JSON in UTF-8' };

const BYTE_ORDER_MARK = '\uFEFF';

/** A body's text, a byte order mark before it included, and the object that it is, or why it is none. */
export function jsonBody(
  body: Uint8Array,
): { readonly ok: true; readonly text: string; readonly parsed: JsonObject } | RefusedCall {
  const text = textOfUtf8(body);
  if (text === undefined) return NOT_JSON;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text);
  } catch {
    return NOT_JSON;
  }
  if (isJsonObject(parsed)) return { ok: true, text, parsed };
  return { ok: false, reason: 'not-an-object', message: `Expected the body to be a JSON object, got ${kindOf(parsed)}` };
}

/** The model that a body names, or why it names none. */
export function modelOf({ model }: JsonObject, unnamed?: string): { readonly ok: true; readonly model: string } | RefusedCall {
  if (model === undefined && unnamed !== undefined) return { ok: true, model: unnamed };
  if (model === undefined) return { ok: false, reason: 'model-missing', message: 'Expected the field model, which is missing' };
  if (typeof model === 'string' && model !== '') return { ok: true, model };
  const got = model === '' ? 'an empty one' : kindOf(model);
  return { ok: false, reason: 'model-invalid', message: `Expected the field model to be a non-empty string, got ${got}` };
}

function textOfUtf8(body: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body);
  } catch {
    return undefined;
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
