import { Duration } from 'aws-cdk-lib';
import {
  Alarm,
  ComparisonOperator,
  type IAlarmAction,
  type IMetric,
  MathExpression,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import type { Construct } from 'constructs';
import type { Figures } from './headgate-figures.js';

/** When the alarms ring. Shares and counts are over five minutes. */
export interface AlarmThresholds {
  /**
   * `AggregatorAge`: how old the oldest change is that is not in the usage rows, three times in a row.
   * @default Duration.minutes(5)
   */
  readonly aggregatorAge?: Duration | undefined;

  /**
   * `AggregatorFailures`: batches that were not booked, three times in a row.
   * @default 1
   */
  readonly aggregatorFailures?: number | undefined;

  /**
   * `UsageQueueDepth`: parts of the stream that were given up.
   * @default 1
   */
  readonly usageQueueDepth?: number | undefined;

  /**
   * `TableThrottles`: reads and writes that DynamoDB refused for their rate, twice in a row.
   * @default 10
   */
  readonly tableThrottles?: number | undefined;

  /**
   * `AuthorizerErrors`: failed calls of the authorizer that are no 401, twice in a row.
   * @default 5
   */
  readonly authorizerErrors?: number | undefined;

  /**
   * `AuthorizerLatency`: how long the slowest hundredth of calls waits for the authorizer, three times in a row.
   * @default Duration.millis(500)
   */
  readonly authorizerLatency?: Duration | undefined;

  /**
   * `DenialSurge`: the share of requests that were denied, in percent, three times in a row.
   * @default 50
   */
  readonly denialSharePercent?: number | undefined;

  /**
   * `DenialSurge`: fewer requests than these tell nothing.
   * @default 100
   */
  readonly denialSurgeRequests?: number | undefined;

  /**
   * `FailOpen`: requests that were let through uncounted, or by a share of their limits, because the database gave no answer.
   * @default 1
   */
  readonly failOpen?: number | undefined;

  /**
   * `Unavailable`: requests that were refused because the database gave no answer, twice in a row.
   * @default 5
   */
  readonly unavailable?: number | undefined;
}

interface AlarmDefinition {
  readonly name: string;
  readonly description: string;
  readonly metric: IMetric;
  readonly threshold: number;
  /** Periods of five minutes in a row. */
  readonly periods: number;
}

/** The alarms for what there is to watch, each with its actions. Named `{table}-{namespace}-{alarm}`; docs/operations.md says what to do. */
export function headgateAlarms(
  scope: Construct,
  figures: Figures,
  { prefix, actions, thresholds }: { prefix: string; actions: readonly IAlarmAction[]; thresholds: AlarmThresholds },
): readonly Alarm[] {
  return definitions(figures, thresholds).map(({ name, description, metric, threshold, periods }) => {
    const alarm = new Alarm(scope, name, {
      alarmName: `${prefix}-${name}`,
      alarmDescription: `Headgate: ${description}. Runbook: docs/operations.md, ${name}`,
      metric,
      threshold,
      evaluationPeriods: periods,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      // Nobody calls at night: no data is no trouble.
      treatMissingData: TreatMissingData.NOT_BREACHING,
    });
    alarm.addAlarmAction(...actions);
    alarm.addOkAction(...actions);
    return alarm;
  });
}

function definitions(
  { decisions, aggregator, queueDepth, throttles, authorizer }: Figures,
  thresholds: AlarmThresholds,
): AlarmDefinition[] {
  const {
    aggregatorAge = Duration.minutes(5),
    aggregatorFailures = 1,
    usageQueueDepth = 1,
    tableThrottles = 10,
    authorizerErrors = 5,
    authorizerLatency = Duration.millis(500),
    denialSharePercent = 50,
    denialSurgeRequests = 100,
    failOpen = 1,
    unavailable = 5,
  } = thresholds;
  const { granted, denied } = decisions;
  const share = new MathExpression({
    label: 'denied, %',
    expression: `IF(FILL(granted,0)+FILL(denied,0) >= ${denialSurgeRequests}, 100*FILL(denied,0)/(FILL(granted,0)+FILL(denied,0)), 0)`,
    usingMetrics: { granted, denied },
    period: granted.period ?? Duration.minutes(5),
  });
  const all: AlarmDefinition[] = [
    {
      name: 'TableThrottles',
      description: 'DynamoDB refuses reads or writes for their rate',
      metric: throttles,
      threshold: tableThrottles,
      periods: 2,
    },
    {
      name: 'DenialSurge',
      description: 'a large share of requests is denied',
      metric: share,
      threshold: denialSharePercent,
      periods: 3,
    },
    {
      name: 'FailOpen',
      description: 'requests pass without the database',
      metric: decisions.failOpen,
      threshold: failOpen,
      periods: 1,
    },
    {
      name: 'Unavailable',
      description: 'requests are refused for want of the database',
      metric: decisions.unavailable,
      threshold: unavailable,
      periods: 2,
    },
  ];
  if (aggregator !== undefined)
    all.push(
      {
        name: 'AggregatorAge',
        description: 'usage lags behind',
        metric: aggregator.ageMs,
        threshold: aggregatorAge.toMilliseconds(),
        periods: 3,
      },
      {
        name: 'AggregatorFailures',
        description: 'usage is not booked',
        metric: aggregator.failures,
        threshold: aggregatorFailures,
        periods: 3,
      },
    );
  if (queueDepth !== undefined)
    all.push({
      name: 'UsageQueueDepth',
      description: 'changes were given up and are not in the usage',
      metric: queueDepth,
      threshold: usageQueueDepth,
      periods: 1,
    });
  if (authorizer !== undefined)
    all.push(
      {
        name: 'AuthorizerErrors',
        description: 'the authorizer fails',
        metric: authorizer.errors,
        threshold: authorizerErrors,
        periods: 2,
      },
      {
        name: 'AuthorizerLatency',
        description: 'the authorizer is slow',
        metric: authorizer.p99Ms,
        threshold: authorizerLatency.toMilliseconds(),
        periods: 3,
      },
    );
  return all;
}
