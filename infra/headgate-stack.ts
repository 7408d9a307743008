import { CfnOutput, Stack, type StackProps, Validations } from 'aws-cdk-lib';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { type ApiOptions, HeadgateApi } from './headgate-api.js';
import { type AuthorizerOptions, HeadgateAuthorizer } from './headgate-authorizer.js';
import { functionOptions, type HeadgateFunctionOptions } from './headgate-function.js';
import { HeadgateMonitoring, type MonitoringOptions } from './headgate-monitoring.js';
import { HeadgateTable, type HeadgateTableProps } from './headgate-table.js';
import { LlmGateway, type LlmPrices, type LlmUpstreams } from './llm-gateway.js';
import { UsageAggregator, type UsageOptions } from './usage-aggregator.js';

/** Beside its own props those of the table and of the functions. A permissions boundary for all roles is `StackProps`' own. */
export interface HeadgateStackProps
  extends StackProps,
    HeadgateTableProps,
    UsageOptions,
    Omit<HeadgateFunctionOptions, 'table' | 'permissionsBoundary'> {
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
   * What stands around the API: a web ACL, a domain, API Gateway's own limits.
   * @default - nothing
   */
  readonly http?: ApiOptions;

  /**
   * How callers of the gateway are told, and what their calls draw on before their model is known.
   * @default - by Headgate keys, and on the provider
   */
  readonly access?: AuthorizerOptions;

  /**
   * How alarms and dashboard are to be; false: there are none.
   * @default - alarms that only show, and a dashboard
   */
  readonly monitoring?: MonitoringOptions | false;
}

/** All of Headgate in one stack: the table, its usage aggregator, the HTTP API and the LLM gateway behind its authorizer. */
export class HeadgateStack extends Stack {
  readonly table: HeadgateTable;
  readonly leaseKey: Secret;
  readonly usage: UsageAggregator;
  readonly api: HeadgateApi;
  readonly authorizer: HeadgateAuthorizer;
  readonly gateway: LlmGateway;
  /** Undefined where none was wanted. */
  readonly monitoring: HeadgateMonitoring | undefined;

  constructor(scope: Construct, id: string, props: HeadgateStackProps = {}) {
    super(scope, id, props);
    this.table = new HeadgateTable(this, 'Storage', props);
    // 64 letters and digits: 381 bits, more than the 256 of the HMAC they key.
    this.leaseKey = new Secret(this, 'LeaseKey', {
      description: 'Headgate: signs the leases that travel over HTTP',
      generateSecretString: { passwordLength: 64, excludePunctuation: true },
    });
    Validations.of(this.leaseKey).acknowledge({
      id: 'AwsSolutions-SMG4',
      reason:
        'A new key is put before the old one, which verifies on for the life of a lease: an operator rotates, and docs/http-api.md says how.',
    });
    const options = functionOptions({ ...props, table: this.table, permissionsBoundary: undefined });
    this.usage = new UsageAggregator(this, 'Usage', {
      ...options,
      usageRetention: props.usageRetention,
      usageArchive: props.usageArchive,
      budgetAlerts: props.budgetAlerts,
    });
    this.api = new HeadgateApi(this, 'Http', { ...options, ...props.http, leaseKey: this.leaseKey });
    const access: AuthorizerOptions = { acquiredBy: 'integration', ...props.access };
    const leaseKey = access.acquiredBy === 'authorizer' ? this.leaseKey : undefined;
    this.authorizer = new HeadgateAuthorizer(this, 'Access', { ...options, ...access, leaseKey, refusedBy: 'integration' });
    this.gateway = new LlmGateway(this, 'Llm', {
      ...options,
      leaseKey,
      restApi: this.api.restApi,
      authorizer: this.authorizer,
      upstreams: props.upstreams,
      prices: props.prices,
      onUnavailable: access.onUnavailable,
    });

    const { namespace, monitoring = {} } = props;
    const { table, usage, api, authorizer, gateway } = this;
    this.monitoring = monitoring
      ? new HeadgateMonitoring(this, 'Monitoring', { ...monitoring, table, namespace, usage, api, authorizer, gateway })
      : undefined;

    // The REST API puts out its own address.
    new CfnOutput(this, 'TableName', { value: this.table.table.tableName });
    new CfnOutput(this, 'UnbookedQueueUrl', { value: this.usage.failures.queueUrl });
    new CfnOutput(this, 'LlmUrl', { value: this.api.restApi.urlForPath('/llm') });
  }
}
