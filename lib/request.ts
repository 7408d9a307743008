import { PRIORITIES, type Priority } from './config/priorities.js';
import type { Limit } from './core/limit.js';
import { InvalidArgument } from './errors.js';
import type { Tokens } from './lease.js';
import { parseLimits } from './limit-set.js';
import { checkFields, checkName } from './names.js';

/** Whose bucket, and by which limits. */
export interface Subject {
  /** The caller that is limited: a key, a project, a customer. 1 to 256 bytes of printable UTF-8 without `#`. */
  readonly entity: string;
  /** What is limited: a model, a provider, an endpoint. The same range. */
  readonly resource: string;
  /** Limits for this request, instead of those stored: no configuration is read. @default those stored */
  readonly limits?: readonly Limit[] | undefined;
}

/** Another resource of the same request. */
export interface AlsoConsumed {
  readonly resource: string;
  readonly consume: Tokens;
}

export interface AcquireRequest extends Subject {
  /** Whole tokens by limit name, from 0. Limits not named are not charged, but one in debt still denies. */
  readonly consume: Tokens;
  /** Other resources that the same request draws on, all or nothing: at most 16 buckets in all, over all levels. @default none */
  readonly also?: readonly AlsoConsumed[] | undefined;
  /** How long to wait for tokens, 0 to 86,400,000. @default 0: a denial at once */
  readonly maxWaitMs?: number | undefined;
  /** @default the priority of the entity's tier, or 'normal' */
  readonly priority?: Priority | undefined;
  /**
   * The tokens of the call, input and output together, for tiers that allow only so many; an integer from 0. @default what `consume` asks of limits
   * that count tokens
   */
  readonly contextTokens?: number | undefined;
  /** Ends the waiting. */
  readonly signal?: AbortSignal | undefined;
}

export interface NeededRequest extends Subject {
  /** Whole tokens by limit name. */
  readonly needed: Tokens;
}

export const LONGEST_WAIT_MS = 86_400_000;
const SUBJECT_FIELDS = ['entity', 'resource', 'limits'];
const ACQUIRE_FIELDS = [...SUBJECT_FIELDS, 'consume', 'also', 'maxWaitMs', 'priority', 'contextTokens', 'signal'];
const NEEDED_FIELDS = [...SUBJECT_FIELDS, 'needed'];

/** Checks a request to acquire. Returns its limits, parsed; undefined when the stored ones apply. Throws `InvalidArgument`. */
export function checkAcquire(request: AcquireRequest): readonly Limit[] | undefined {
  checkFields(request, ACQUIRE_FIELDS, 'request');
  const { maxWaitMs, priority, signal } = request;
  const limits = checkedSubject(request);
  checkTokens(request.consume, 'consume');
  if (request.also !== undefined) checkAlso(request.also, request.resource);
  if (maxWaitMs !== undefined && !(typeof maxWaitMs === 'number' && maxWaitMs >= 0 && maxWaitMs <= LONGEST_WAIT_MS)) {
    throw new InvalidArgument({
      field: 'maxWaitMs',
      value: maxWaitMs,
      expected: `a number from 0 to ${LONGEST_WAIT_MS} (a day)`,
    });
  }
  if (priority !== undefined && !PRIORITIES.includes(priority)) {
    throw new InvalidArgument({ field: 'priority', value: priority, expected: `one of ${PRIORITIES.join(', ')}` });
  }
  const { contextTokens } = request;
  if (contextTokens !== undefined && !(Number.isSafeInteger(contextTokens) && contextTokens >= 0)) {
    throw new InvalidArgument({
      field: 'contextTokens',
      value: contextTokens,
      expected: `an integer from 0 to ${Number.MAX_SAFE_INTEGER}`,
    });
  }
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    throw new InvalidArgument({ field: 'signal', value: signal, expected: 'an AbortSignal' });
  }
  return limits;
}

export function checkNeeded(request: NeededRequest): readonly Limit[] | undefined {
  checkFields(request, NEEDED_FIELDS, 'request');
  checkTokens(request.needed, 'needed');
  return checkedSubject(request);
}

export function checkSubject(request: Subject): readonly Limit[] | undefined {
  checkFields(request, SUBJECT_FIELDS, 'request');
  return checkedSubject(request);
}

function checkedSubject({ entity, resource, limits }: Subject): readonly Limit[] | undefined {
  checkName(entity, 'entity');
  checkName(resource, 'resource');
  return limits === undefined ? undefined : parseLimits(limits, 'limits');
}

function checkAlso(also: readonly AlsoConsumed[], resource: string): void {
  if (!Array.isArray(also))
    throw new InvalidArgument({ field: 'also', value: also, expected: 'a list of { resource, consume }' });
  const seen = new Set([resource]);
  for (const [index, part] of also.entries()) {
    const field = `also[${index}]`;
    checkFields(part, ['resource', 'consume'], field);
    checkName(part.resource, `${field}.resource`);
    checkTokens(part.consume, `${field}.consume`);
    if (seen.has(part.resource)) {
      throw new InvalidArgument({
        field: `${field}.resource`,
        value: part.resource,
        expected: 'a resource that the request does not name already',
      });
    }
    seen.add(part.resource);
  }
}

function checkTokens(tokens: unknown, field: string): asserts tokens is Tokens {
  if (typeof tokens !== 'object' || tokens === null || Array.isArray(tokens)) {
    throw new InvalidArgument({ field, value: tokens, expected: 'an object of whole tokens by limit name' });
  }
  for (const [name, cost] of Object.entries(tokens)) {
    if (typeof cost !== 'number' || !Number.isSafeInteger(cost) || cost < 0) {
      throw new InvalidArgument({
        field: `${field}.${name}`,
        value: cost,
        expected: `an integer from 0 to ${Number.MAX_SAFE_INTEGER}`,
      });
    }
  }
}
