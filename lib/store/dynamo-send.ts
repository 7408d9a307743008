/** One place that sends to DynamoDB and says what a failure means: was it written, may it be tried again, whose fault is it. */
import { type DynamoDBClient, DynamoDBServiceException, ResourceNotFoundException } from '@aws-sdk/client-dynamodb';
import { InvalidArgument } from '../errors.js';
import { StoreFailure } from './store.js';

/**
 * Carries an error past the SDK's retry logic: of a class that no retry strategy knows, and not as its `cause`, which strategies look into.
 * The signer still finds the response, whose `Date` corrects a wrong clock for the next call.
 */
class SingleAttempt extends Error {
  readonly $response: unknown;

  constructor(readonly carried: unknown) {
    super('one attempt, not retried by the SDK');
    this.$response = carried instanceof DynamoDBServiceException ? carried.$response : undefined;
  }
}

/**
 * A command middleware that lets the client send exactly once, through the client as it was given (its middleware, its settings): an answer that
 * was lost may have been a write, and whether that may be sent again is the admission engine's decision, not the SDK's.
 */
export const singleAttempt =
  <Args, Result>(next: (args: Args) => Promise<Result>) =>
  async (args: Args): Promise<Result> => {
    try {
      return await next(args);
    } catch (error) {
      throw new SingleAttempt(error);
    }
  };

/** Where `singleAttempt` stands: inside the SDK's retries. */
export const INSIDE_RETRIES = { step: 'finalizeRequest', priority: 'low', name: 'headgateSingleAttempt' } as const;

/** The error that the service or the network gave, without the envelope of `singleAttempt`. */
export function unwrapped(error: unknown): unknown {
  return error instanceof SingleAttempt ? error.carried : error;
}

/** A signature made with a wrong clock: the SDK has learned its offset from this very answer, and the next one is right. */
const CLOCK_SKEWED = new Set(['RequestTimeTooSkewed', 'RequestExpired', 'InvalidSignatureException']);
const THROTTLED = new Set(['ProvisionedThroughputExceededException', 'ThrottlingException', 'RequestLimitExceeded']);

/** What a failed call means to Headgate: a wrong set-up (`InvalidArgument`) or a `StoreFailure`. */
export async function failure(
  error: unknown,
  client: DynamoDBClient,
  tableName: string,
): Promise<InvalidArgument | StoreFailure> {
  const cause = unwrapped(error);
  if (cause instanceof ResourceNotFoundException) {
    return new InvalidArgument({
      field: 'tableName',
      value: tableName,
      expected: `a table that exists in ${(await settled(client.config.region)) ?? 'the region'} (createTable makes one)`,
      cause,
    });
  }
  if (cause instanceof DynamoDBServiceException) {
    const throttled = THROTTLED.has(cause.name);
    const serverFault = (cause.$metadata.httpStatusCode ?? 500) >= 500;
    return new StoreFailure(`DynamoDB answered ${cause.name}: ${cause.message}`, {
      ambiguous: serverFault,
      retryable: throttled || serverFault || CLOCK_SKEWED.has(cause.name),
      throttled,
      cause,
    });
  }
  const missing = await missingSetting(client);
  if (missing !== undefined) return missing(cause);
  const reason = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
  return new StoreFailure(`no answer from DynamoDB (${reason})`, { ambiguous: true, retryable: true, cause });
}

/** A client without a region or without credentials fails before anything is sent, with errors that only their providers can tell apart. */
async function missingSetting(client: DynamoDBClient): Promise<((cause: unknown) => InvalidArgument | StoreFailure) | undefined> {
  if ((await settled(client.config.region)) === undefined) {
    return (cause) =>
      new InvalidArgument({
        field: 'client.region',
        value: undefined,
        expected: 'an AWS region, such as us-east-1 (or set AWS_REGION)',
        cause,
      });
  }
  if ((await settled(client.config.credentials)) === undefined) {
    return (cause) =>
      new StoreFailure(
        'client.credentials: no AWS credentials in the environment, the shared configuration or the instance role',
        {
          ambiguous: false,
          retryable: false,
          cause,
        },
      );
  }
  return undefined;
}

const PROVIDER_WITHIN_MS = 250;

/** What a provider gives; undefined when it fails, or gives nothing in time (a credentials chain can look for a network that is not there). */
async function settled<T>(provider: () => Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, PROVIDER_WITHIN_MS, undefined);
  });
  try {
    return await Promise.race([provider(), late]);
  } catch {
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}
