import { Duration, Stack } from 'aws-cdk-lib';
import { type CfnAuthorizer, type IRestApi, RequestAuthorizer } from 'aws-cdk-lib/aws-apigateway';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import {
  functionOptions,
  HeadgateFunction,
  type HeadgateFunctionOptions,
  type WhenUnavailable,
  whenUnavailableText,
} from './headgate-function.js';
import { limitResponses } from './limit-responses.js';
import { credentialKeysOf, DEFAULT_NAMESPACE } from './namespace.js';

/** The JSON Web Tokens that are accepted. */
export interface AcceptedTokens {
  /** The `iss` of the tokens, exactly as they say it: a Cognito user pool's is `userPool.userPoolProviderUrl`. */
  readonly issuer: string;

  /** Whom tokens must be for: one of these must be in their `aud`. */
  readonly audiences: readonly string[];

  /**
   * The https URL of the issuer's keys. A cold start that knows it saves a call.
   * @default - what `{issuer}/.well-known/openid-configuration` says, else `{issuer}/.well-known/jwks.json`
   */
  readonly jwksUrl?: string;

  /**
   * How tokens may be signed: RS, PS or ES with 256, 384 or 512, EdDSA, Ed25519. Never by HMAC.
   * @default ['RS256', 'ES256']
   */
  readonly algorithms?: readonly string[];

  /**
   * By how much the issuer's clock may differ; at most five minutes.
   * @default Duration.seconds(10)
   */
  readonly clockTolerance?: Duration;
}

/** The tokens that a call takes, all together or those in and out. */
export type UsualTokens = number | { readonly inputTokens?: number; readonly outputTokens?: number };

/** How callers are told, and what their calls draw on. */
export interface AuthorizerOptions {
  /**
   * What tells callers, and names the entity that is limited: `key` (a Headgate key), `claim:NAME` (of a token), both separated by a comma, or
   * `header:NAME`, which is believed: only behind a proxy that sets it, see `proxySecretSha256`.
   * @default 'key', with `tokens` 'key,claim:sub'
   */
  readonly entity?: string;

  /**
   * The tokens of an identity provider that are accepted.
   * @default - none
   */
  readonly tokens?: AcceptedTokens;

  /**
   * Which secrets are looked up as keys: those that Headgate made, or also those that were brought along (12 to 256 characters).
   * @default 'any'
   */
  readonly keys?: 'any' | 'generated';

  /**
   * Reads a second that one process spends on secrets that are no key, five times as many at once; above it they are refused unread. 1 to 1,000.
   * @default 10
   */
  readonly unknownKeysPerSecond?: number;

  /**
   * SHA-256, in hexadecimal, of the secret that the proxy sends in `x-headgate-proxy-secret`.
   * @default - whoever reaches the API is believed the header that names the entity
   */
  readonly proxySecretSha256?: string;

  /**
   * What names the resource whose limits are drawn on: `path:NAME` (a path parameter), `header:NAME`, `claim:NAME` or `fixed:RESOURCE`.
   * @default 'path:provider'
   */
  readonly resource?: string;

  /**
   * Who acquires what a call draws on. `authorizer`: the authorizer does, before the body is seen, and what its limits deny never reaches the
   * integration. `integration`: the authorizer only tells who calls and names the resource in its context; it writes nothing, and needs no `leaseKey`.
   * @default 'authorizer'; in `HeadgateStack` 'integration', for the gateway acquires the provider's limits and the model's at the same time
   */
  readonly acquiredBy?: 'authorizer' | 'integration';

  /**
   * What calls of a resource usually take, until it is known. Only for what the authorizer acquires.
   * @default - the length of the request over four, and 200 for the answer
   */
  readonly estimates?: Readonly<Record<string, UsualTokens>>;

  /**
   * Whether a client is believed that states its call's tokens in `x-headgate-estimated-tokens`. Only for what the authorizer acquires.
   * @default - only where a lease is passed on, to be settled by what the call really took
   */
  readonly believeClients?: boolean;

  /**
   * What becomes of calls while the table gives no answer. In `HeadgateStack` the gateway does the same.
   * @default 'deny'
   */
  readonly onUnavailable?: WhenUnavailable;
}

export interface HeadgateAuthorizerProps extends HeadgateFunctionOptions, AuthorizerOptions {
  /**
   * Signs the lease that the authorizer passes on, for an integration that settles it.
   * @default - no lease is passed on: what was acquired stays charged
   */
  readonly leaseKey?: ISecret | undefined;

  /**
   * Who answers a call that is refused with anything but 401 and 429 (nothing configured, disabled, no answer). `authorizer`: it never reaches the
   * integration. `integration`: it is let through to, with `decision`, `status` and `problem` in the context, and must be answered with those.
   * @default 'authorizer'
   */
  readonly refusedBy?: 'authorizer' | 'integration';
}

/**
 * A REQUEST authorizer that tells who calls, and acquires what can be known without the body: for any method of one REST API, any integration.
 *
 *     const access = new HeadgateAuthorizer(this, 'Access', { table, resource: 'fixed:search' });
 *     access.addResponses(api);
 *     api.root.addMethod('POST', integration, { authorizer: access.authorizer, authorizationType: AuthorizationType.CUSTOM });
 *
 * No result is cached: a cached Allow would let the following requests through uncounted. No identity source is required: API Gateway
 * would answer for a missing one itself, before the function could accept the key's other forms.
 */
export class HeadgateAuthorizer extends Construct {
  readonly function: HeadgateFunction;
  readonly authorizer: RequestAuthorizer;

  constructor(scope: Construct, id: string, props: HeadgateAuthorizerProps) {
    super(scope, id);
    this.function = new HeadgateFunction(this, 'Authorizer', {
      ...functionOptions(props),
      leaseKey: props.leaseKey,
      handler: 'authorizer',
      description: 'Headgate: authenticates LLM calls and admits or denies them',
      timeout: Duration.seconds(10),
      memorySizeMb: 1024,
      environment: environmentOf(props, Stack.of(this)),
    });
    if (props.acquiredBy !== 'integration') props.table.grantAcquire(this.function.lambda, { namespace: props.namespace });
    props.table.grantItems(this.function.lambda, credentialKeysOf(props.namespace ?? DEFAULT_NAMESPACE), ['BatchGetItem']);
    this.authorizer = new RequestAuthorizer(this, 'RequestAuthorizer', {
      handler: this.function.lambda,
      identitySources: [],
      resultsCacheTtl: Duration.seconds(0),
    });
    // CDK writes an empty list as '', an identity source of no name.
    (this.authorizer.node.defaultChild as CfnAuthorizer).identitySource = undefined;
  }

  /**
   * Makes an API answer in HTTP's terms where the authorizer keeps a call out: 429 with its wait, 401, 503. Without it a denial leaves as a bare 403.
   * Needed once an API; `HeadgateApi` has it.
   */
  addResponses(api: IRestApi): void {
    limitResponses(api);
  }
}

/** The variables that docs/authorizer.md lists, those that are given. */
function environmentOf(props: HeadgateAuthorizerProps, stack: Stack): Record<string, string> {
  const { tokens, onUnavailable, unknownKeysPerSecond, believeClients } = props;
  const variables: Record<string, string | undefined> = {
    HEADGATE_ENTITY: props.entity,
    HEADGATE_JWT_ISSUER: tokens?.issuer,
    HEADGATE_JWT_AUDIENCE: tokens?.audiences.join(','),
    HEADGATE_JWT_JWKS_URL: tokens?.jwksUrl,
    HEADGATE_JWT_ALGORITHMS: tokens?.algorithms?.join(','),
    HEADGATE_JWT_CLOCK_TOLERANCE_SECONDS: tokens?.clockTolerance?.toSeconds().toString(),
    HEADGATE_KEYS: props.keys,
    HEADGATE_UNKNOWN_KEYS_PER_SECOND: unknownKeysPerSecond?.toString(),
    HEADGATE_PROXY_SECRET_SHA256: props.proxySecretSha256,
    HEADGATE_ACQUIRED_BY: props.acquiredBy,
    HEADGATE_RESOURCE: props.resource,
    // Not JSON.stringify: a name may be known only when the stack is deployed.
    HEADGATE_ESTIMATES: props.estimates && stack.toJsonString(props.estimates),
    HEADGATE_CLIENT_ESTIMATES: believeClients === undefined ? undefined : believeClients ? 'believed' : 'ignored',
    HEADGATE_ON_UNAVAILABLE: whenUnavailableText(onUnavailable),
    HEADGATE_REFUSED_BY: props.refusedBy ?? 'authorizer',
  };
  return Object.fromEntries(
    Object.entries(variables).filter((variable): variable is [string, string] => variable[1] !== undefined),
  );
}
