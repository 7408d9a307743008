import { Duration, Stack, Token, Validations } from 'aws-cdk-lib';
import { AuthorizationType, LambdaIntegration, ResponseTransferMode, type RestApi } from 'aws-cdk-lib/aws-apigateway';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import type { HeadgateAuthorizer } from './headgate-authorizer.js';
import {
  functionOptions,
  HeadgateFunction,
  type HeadgateFunctionOptions,
  type WhenUnavailable,
  whenUnavailableText,
} from './headgate-function.js';

/** How long a provider is waited for, and for whom. */
export interface UpstreamPatience {
  /**
   * What becomes of a call whose client has left. `cancel`: the provider stops, and the call is settled by what it told until then, else by the
   * estimate. `readOn`: the answer is read to its end and settled by its real usage, which the provider bills.
   * @default 'cancel'
   */
  readonly whenClientLeaves?: 'cancel' | 'readOn';

  /**
   * The longest until an answer begins, 1 to 890,000 milliseconds.
   * @default 290000: API Gateway waits for 5 minutes
   */
  readonly timeoutMs?: number;

  /**
   * The longest silence in an answer, 1 to 890,000 milliseconds.
   * @default 290000
   */
  readonly idleTimeoutMs?: number;

  /**
   * The entity whose limits are those of the account at the provider: the caller, or one above it. They follow what the provider says is left.
   * @default - they do not
   */
  readonly feedback?: string;
}

/** One provider that the gateway forwards to with a key. */
export interface ProviderUpstream extends UpstreamPatience {
  /** What `/llm/{provider}` stands for, without a slash at the end: the rest of the path follows it. */
  readonly baseUrl: string;

  /**
   * Name or ARN of the secret in Secrets Manager that holds the provider's API key.
   * @default - the gateway adds no key to the request
   */
  readonly apiKeySecret?: string;

  /**
   * The header that carries the provider's key.
   * @default - by the provider's host: `x-api-key` for Anthropic, `x-goog-api-key` for Google, `api-key` for Azure, else `authorization`
   */
  readonly keyHeader?: 'authorization' | 'x-api-key' | 'api-key' | 'x-goog-api-key';
}

/** Amazon Bedrock: its calls are signed with the gateway's own role. */
export interface BedrockUpstream extends UpstreamPatience {
  /** The Region that is called, such as `eu-west-1`. */
  readonly bedrockRegion: string;

  /**
   * The models, and inference profiles of this account, that the gateway's role may invoke: `eu.anthropic.claude-sonnet-4-6`, or patterns such as
   * `*.anthropic.*`. Anything else by its ARN, such as an application inference profile, whose models are to be named beside it. Who may call which of
   * them, tiers say.
   * @default ['*']
   */
  readonly models?: readonly string[];
}

export type LlmUpstream = ProviderUpstream | BedrockUpstream;

/** The upstreams by the name they have in the path. */
export type LlmUpstreams = Readonly<Record<string, LlmUpstream>>;

/** What a model costs, in dollars per million tokens, as its provider publishes it: 0 to 1,000,000, with at most six decimal places. */
export interface LlmPrices extends LlmTokenPrices {
  /**
   * What every token costs in a call with more input tokens than `above`.
   * @default - what it costs in any call
   */
  readonly longPrompt?: LlmTokenPrices & { readonly above: number };
}

export interface LlmTokenPrices {
  readonly input: number;

  /**
   * Input that the provider had in its prompt cache.
   * @default - what input costs
   */
  readonly cachedInput?: number;

  /**
   * Input that the provider wrote to its prompt cache.
   * @default - what input costs
   */
  readonly cacheWrite?: number;

  /**
   * Input that the provider wrote to its prompt cache for an hour.
   * @default - what `cacheWrite` costs
   */
  readonly cacheWrite1h?: number;

  /** 0 for models without output. */
  readonly output: number;
}

export interface LlmGatewayProps extends HeadgateFunctionOptions {
  /** The API that gets the route. It needs `limitResponses`, as `HeadgateApi` has. */
  readonly restApi: RestApi;
  readonly authorizer: HeadgateAuthorizer;
  /**
   * Verifies the lease that the authorizer passed on.
   * @default - none is: the authorizer leaves it to the gateway to acquire (`acquiredBy`)
   */
  readonly leaseKey?: ISecret | undefined;

  /**
   * What becomes of a call while the table gives no answer, as with the authorizer.
   * @default 'deny'
   */
  readonly onUnavailable?: WhenUnavailable | undefined;

  /**
   * Where calls go, by the `{provider}` of their path.
   * @default { openai: { baseUrl: 'https://api.openai.com' } }
   */
  readonly upstreams?: LlmUpstreams;

  /**
   * Prices by model, for limits that count money. A model that is not here is refused where such a limit applies.
   * @default - none
   */
  readonly prices?: Readonly<Record<string, LlmPrices>>;
}

/** The longest that Lambda runs and that API Gateway keeps a streamed answer open. */
const LONGEST_ANSWER = Duration.minutes(15);

/**
 * The route `ANY /llm/{provider}/{path+}`, behind the authorizer, to the function that forwards to the provider, streams the answer
 * and settles by its real usage. The function's time limit is that of the stream: it may settle after the caller has gone.
 */
export class LlmGateway extends Construct {
  readonly function: HeadgateFunction;

  constructor(scope: Construct, id: string, props: LlmGatewayProps) {
    super(scope, id);
    const onUnavailable = whenUnavailableText(props.onUnavailable);
    const upstreams = props.upstreams ?? { openai: { baseUrl: 'https://api.openai.com' } };
    this.function = new HeadgateFunction(this, 'Gateway', {
      ...functionOptions(props),
      leaseKey: props.leaseKey,
      handler: 'gateway',
      description: 'Headgate: forwards LLM calls and settles them by their real usage',
      timeout: LONGEST_ANSWER,
      memorySizeMb: 512,
      // Not JSON.stringify: an id may be known only when the stack is deployed.
      environment: {
        HEADGATE_UPSTREAMS: Stack.of(this).toJsonString(upstreams),
        ...(props.prices && { HEADGATE_PRICES: Stack.of(this).toJsonString(props.prices) }),
        ...(onUnavailable && { HEADGATE_ON_UNAVAILABLE: onUnavailable }),
      },
    });
    props.table.grantAcquire(this.function.lambda, { namespace: props.namespace });
    for (const [provider, upstream] of Object.entries(upstreams)) {
      if ('bedrockRegion' in upstream) this.#grantBedrock(upstream);
      else if (upstream.apiKeySecret !== undefined)
        secretById(this, `ApiKey-${provider}`, upstream.apiKeySecret).grantRead(this.function.lambda);
    }
    const integration = new LambdaIntegration(this.function.lambda, {
      proxy: true,
      responseTransferMode: ResponseTransferMode.STREAM,
      timeout: LONGEST_ANSWER,
      allowTestInvoke: false,
    });
    props.restApi.root.resourceForPath('/llm/{provider}/{path+}').addMethod('ANY', integration, {
      authorizationType: AuthorizationType.CUSTOM,
      authorizer: props.authorizer.authorizer,
    });
  }

  #grantBedrock({ bedrockRegion, models = ['*'] }: BedrockUpstream): void {
    const [arns, ids] = [models.filter(isArn), models.filter((model) => !isArn(model))];
    const named = ids.flatMap((model) => [
      // A profile that spans Regions asks for the model in any of them, by the name without the profile's prefix.
      `arn:${Stack.of(this).partition}:bedrock:*::foundation-model/${model.replace(PROFILE_PREFIX, '')}`,
      Stack.of(this).formatArn({ service: 'bedrock', region: bedrockRegion, resource: 'inference-profile', resourceName: model }),
    ]);
    this.function.lambda.addToRolePolicy(
      new PolicyStatement({
        actions: ['bedrock:InvokeModel', 'bedrock:InvokeModelWithResponseStream', 'bedrock:CountTokens'],
        resources: [...named, ...arns],
      }),
    );
    const { account } = Stack.of(this);
    const owner = Token.isUnresolved(account) ? '<AWS::AccountId>' : account;
    const patterns = [
      ...ids.flatMap((model) => [
        `arn:<AWS::Partition>:bedrock:*::foundation-model/${model.replace(PROFILE_PREFIX, '')}`,
        `arn:<AWS::Partition>:bedrock:${bedrockRegion}:${owner}:inference-profile/${model}`,
      ]),
      ...arns.filter((arn) => !Token.isUnresolved(arn)),
    ];
    const reason = 'Models that are named in the upstreams; a profile that spans Regions asks for them in each.';
    for (const pattern of patterns)
      Validations.of(this.function).acknowledge({ id: `AwsSolutions-IAM5[Resource::${pattern}]`, reason });
  }
}

/** What an inference profile, or a pattern of them, has before the name of its model. */
const PROFILE_PREFIX = /^(us|eu|apac|jp|au|ca|us-gov|global|\*)\./;

/** An ARN known only at deployment is one too. */
const isArn = (model: string): boolean => Token.isUnresolved(model) || model.startsWith('arn:');

/**
 * The secret that an id means to Secrets Manager: a name, a whole ARN, or an ARN without its six random characters.
 * An ARN known only at deployment is a whole one, which is what CloudFormation returns.
 */
function secretById(scope: Construct, id: string, secretId: string): ISecret {
  if (Token.isUnresolved(secretId) || /^arn:.*-[A-Za-z0-9]{6}$/.test(secretId))
    return Secret.fromSecretCompleteArn(scope, id, secretId);
  if (secretId.startsWith('arn:')) return Secret.fromSecretPartialArn(scope, id, secretId);
  return Secret.fromSecretNameV2(scope, id, secretId);
}
