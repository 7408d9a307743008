import type { APIGatewayProxyEvent, APIGatewayProxyResult } from 'aws-lambda';
import { InvalidArgument } from '../lib/errors.js';
import { type Problem, problem, problemOf } from '../lib/http/problem.js';

type Headers = Readonly<Record<string, string | undefined>> | null | undefined;

/** Where a REST API puts headers: the last value of each, and every value. */
export interface HeaderedEvent {
  readonly headers?: Headers;
  readonly multiValueHeaders?: Readonly<Record<string, readonly string[] | undefined>> | null | undefined;
}

/** All values of a header, whatever the case of its name: of one that was sent several times, each different one once, in order. */
export function headerValues(event: HeaderedEvent, name: string): readonly string[] {
  const wanted = name.toLowerCase();
  const named = (headers: object | null | undefined): readonly unknown[] =>
    Object.entries(headers ?? {}).flatMap(([key, value]): readonly unknown[] =>
      key.toLowerCase() === wanted ? [value].flat() : [],
    );
  const all = [...named(event.multiValueHeaders), ...named(event.headers)];
  return [...new Set(all.filter((value): value is string => typeof value === 'string'))];
}

/** A path parameter, decoded: REST APIs hand it on percent-encoded, as the client wrote it. */
export function pathParameter(event: Pick<APIGatewayProxyEvent, 'pathParameters'>, name: string): string {
  const raw = event.pathParameters?.[name] ?? '';
  try {
    return decodeURIComponent(raw);
  } catch {
    throw new InvalidArgument({ field: name, value: raw, expected: 'percent-encoded UTF-8' });
  }
}

/** The body's bytes. */
export function bodyBytes({ body, isBase64Encoded }: Pick<APIGatewayProxyEvent, 'body' | 'isBase64Encoded'>): Buffer {
  return Buffer.from(body ?? '', isBase64Encoded ? 'base64' : 'utf8');
}

/** The answer to a body above a route's limit, or undefined. */
export function tooLarge(bytes: Uint8Array, mostBytes: number): Problem | undefined {
  if (bytes.byteLength <= mostBytes) return undefined;
  return problem(
    413,
    'ContentTooLarge',
    'Content too large',
    `Expected a body of at most ${mostBytes} bytes, got ${bytes.byteLength}`,
  );
}

/** The body as a JSON object. Throws `InvalidArgument`. */
export function jsonObject(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new InvalidArgument({
      field: 'body',
      value: Buffer.from(bytes.subarray(0, 80)).toString(),
      expected: 'a JSON object',
      cause: error,
    });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new InvalidArgument({ field: 'body', value, expected: 'a JSON object' });
  }
  return value as Record<string, unknown>;
}

/** The problem of an error, written to the log when it is the server's fault. */
export function problemOfLogged(error: unknown): Problem {
  const found = problemOf(error);
  if (found.status >= 500) console.error(error);
  return found;
}

export function asResult({ status, headers, body }: Problem): APIGatewayProxyResult {
  return { statusCode: status, headers: { ...headers }, body: JSON.stringify(body) };
}

/** A 200 with a JSON body. */
export function json(body: unknown, headers: Record<string, string> = {}): APIGatewayProxyResult {
  return { statusCode: 200, headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(body) };
}
