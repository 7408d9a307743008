import type { Alarm, Dashboard, IAlarmAction } from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';
import { dimensionValue } from '../lib/metric-catalogue.js';
import { type AlarmThresholds, headgateAlarms } from './headgate-alarms.js';
import type { HeadgateApi } from './headgate-api.js';
import type { HeadgateAuthorizer } from './headgate-authorizer.js';
import { headgateDashboard } from './headgate-dashboard.js';
import { figuresOf } from './headgate-figures.js';
import type { IHeadgateTable } from './headgate-table.js';
import type { LlmGateway } from './llm-gateway.js';
import { DEFAULT_NAMESPACE } from './namespace.js';
import type { UsageAggregator } from './usage-aggregator.js';

/** How alarms and dashboard are to be. */
export interface MonitoringOptions {
  /**
   * What an alarm does when it rings, and when it stops: an `SnsAction`, for example.
   * @default - nothing: it is only shown
   */
  readonly actions?: readonly IAlarmAction[] | undefined;

  /**
   * When the alarms ring.
   * @default - see each threshold
   */
  readonly thresholds?: AlarmThresholds | undefined;

  /**
   * Whether to make a dashboard.
   * @default true
   */
  readonly dashboard?: boolean | undefined;
}

/** What there is to watch: the table, and those of the constructs that are there. */
export interface HeadgateMonitoringProps extends MonitoringOptions {
  readonly table: IHeadgateTable;

  /**
   * The tenant whose figures are shown: the one that the functions have.
   * @default 'default'
   */
  readonly namespace?: string | undefined;

  /** @default - the usage is not watched */
  readonly usage?: UsageAggregator | undefined;
  /** @default - no authorizer is watched */
  readonly authorizer?: HeadgateAuthorizer | undefined;
  /** @default - no API is watched */
  readonly api?: HeadgateApi | undefined;
  /** @default - no gateway is watched */
  readonly gateway?: LlmGateway | undefined;
}

/** Alarms, each with a runbook in docs/operations.md, and a dashboard, for a table and whichever of Headgate's constructs stand over it. */
export class HeadgateMonitoring extends Construct {
  readonly alarms: readonly Alarm[];
  /** Undefined where none was wanted. */
  readonly dashboard: Dashboard | undefined;

  constructor(scope: Construct, id: string, props: HeadgateMonitoringProps) {
    super(scope, id);
    const { table, namespace = DEFAULT_NAMESPACE, usage, authorizer, api, gateway } = props;
    const { actions = [], thresholds = {}, dashboard = true } = props;
    const watched = { table, namespace, usage, authorizer };
    const figures = figuresOf(watched);
    const prefix = `${table.table.tableName}-${dimensionValue(namespace)}`;
    this.alarms = headgateAlarms(this, figures, { prefix, actions, thresholds });
    const functions = {
      ...(authorizer && { authorizer: authorizer.function.lambda }),
      ...(gateway && { gateway: gateway.function.lambda }),
      ...(api && { api: api.function.lambda }),
      ...(usage && { aggregator: usage.function.lambda }),
    };
    this.dashboard = dashboard ? headgateDashboard(this, { watched, figures, functions }) : undefined;
  }
}
