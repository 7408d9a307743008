/** The public names of `headgate/cdk`: the whole stack, and its constructs for use in other CDK apps. */
export type { AlarmThresholds } from './headgate-alarms.js';
export { type ApiOptions, HeadgateApi, type HeadgateApiProps } from './headgate-api.js';
export {
  type AcceptedTokens,
  type AuthorizerOptions,
  HeadgateAuthorizer,
  type HeadgateAuthorizerProps,
  type UsualTokens,
} from './headgate-authorizer.js';
export {
  type HandlerName,
  HeadgateFunction,
  type HeadgateFunctionOptions,
  type HeadgateFunctionProps,
} from './headgate-function.js';
export { HeadgateManifest, type HeadgateManifestProps } from './headgate-manifest.js';
export { HeadgateMonitoring, type HeadgateMonitoringProps, type MonitoringOptions } from './headgate-monitoring.js';
export { HeadgateStack, type HeadgateStackProps } from './headgate-stack.js';
export {
  HeadgateTable,
  type HeadgateTableAttributes,
  type HeadgateTableProps,
  type IHeadgateTable,
  type ItemAction,
  type NamespaceGrant,
  type ProvisionedCapacity,
} from './headgate-table.js';
export { limitResponses } from './limit-responses.js';
export {
  type BedrockUpstream,
  LlmGateway,
  type LlmGatewayProps,
  type LlmPrices,
  type LlmUpstream,
  type LlmUpstreams,
  type ProviderUpstream,
  type UpstreamPatience,
} from './llm-gateway.js';
export { type BudgetAlertOptions, UsageAggregator, type UsageAggregatorProps, type UsageOptions } from './usage-aggregator.js';
export { UsageArchive, type UsageArchiveOptions, type UsageArchiveProps } from './usage-archive.js';
