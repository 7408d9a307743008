import { CfnOutput, type RemovalPolicy, Stack, type StackProps } from 'aws-cdk-lib';
import type { RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { HeadgateApi } from './headgate-api.js';
import { HeadgateAuthorizer } from './headgate-authorizer.js';
import { HeadgateTable } from './headgate-table.js';
import { LlmGateway, type LlmPrices, type LlmUpstreams } from './llm-gateway.js';
import { UsageAggregator } from './usage-aggregator.js';

export interface HeadgateStackProps extends StackProps {
  /**
   * The tenant whose limits the functions apply: 1 to 256 bytes without `#`.
   * @default 'default'
   */
  readonly namespace?: string;

  /**
   * The table's name, unique in the account and region.
   * @default 'headgate'
   */
  readonly tableName?: string;

  /**
   * What becomes of the table when the stack goes.
   * @default RemovalPolicy.RETAIN
   */
  readonly removalPolicy?: RemovalPolicy;

  /**
   * Whether DynamoDB refuses to delete the table.
   * @default true while the removal policy is RETAIN, else false
   */
  readonly deletionProtection?: boolean;

  /**
   * The LLM providers that the gateway forwards to, by the `{provider}` of `/llm/{provider}/…`.
   * @default { openai: { baseUrl: 'https://api.openai.com' } }
   */
  readonly upstreams?: LlmUpstreams;

  /**
   * Prices by model, for limits that count money: `{ 'gpt-4o': { input: 2.5, cachedInput: 1.25, output: 10 } }`. Only with prices does the gateway
   * forward calls that such a limit applies to.
   * @default - none
   */
  readonly prices?: Readonly<Record<string, LlmPrices>>;

  /**
   * How long the functions' logs are kept.
   * @default RetentionDays.ONE_MONTH
   */
  readonly logRetention?: RetentionDays;

  /**
   * The directory that holds `{handler}/index.mjs` for each handler.
   * @default - the bundles that come with this package
   */
  readonly bundleDirectory?: string;
}

/** All of Headgate in one stack: the table, its usage aggregator, the HTTP API and the LLM gateway behind its authorizer. */
export class HeadgateStack extends Stack {
  readonly table: HeadgateTable;
  readonly leaseKey: Secret;
  readonly usage: UsageAggregator;
  readonly api: HeadgateApi;
  readonly authorizer: HeadgateAuthorizer;
  readonly gateway: LlmGateway;

  constructor(scope: Construct, id: string, props: HeadgateStackProps = {}) {
    super(scope, id, props);
    this.table = new HeadgateTable(this, 'Storage', {
      tableName: props.tableName,
      removalPolicy: props.removalPolicy,
      deletionProtection: props.deletionProtection,
    });
    // 64 letters and digits: 381 bits, more than the 256 of the HMAC they key.
    this.leaseKey = new Secret(this, 'LeaseKey', {
      description: 'Headgate: signs the leases that travel over HTTP',
      generateSecretString: { passwordLength: 64, excludePunctuation: true },
    });
    const options = {
      table: this.table,
      namespace: props.namespace,
      logRetention: props.logRetention,
      bundleDirectory: props.bundleDirectory,
    };
    this.usage = new UsageAggregator(this, 'Usage', options);
    this.api = new HeadgateApi(this, 'Http', { ...options, leaseKey: this.leaseKey });
    this.authorizer = new HeadgateAuthorizer(this, 'Access', { ...options, leaseKey: this.leaseKey });
    this.gateway = new LlmGateway(this, 'Llm', {
      ...options,
      leaseKey: this.leaseKey,
      restApi: this.api.restApi,
      authorizer: this.authorizer,
      upstreams: props.upstreams,
      prices: props.prices,
    });

    // The REST API puts out its own address.
    new CfnOutput(this, 'TableName', { value: this.table.table.tableName });
    new CfnOutput(this, 'LlmUrl', { value: this.api.restApi.urlForPath('/llm') });
  }
}
