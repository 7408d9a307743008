import { Duration } from 'aws-cdk-lib';
import { type IMetric, MathExpression, Metric } from 'aws-cdk-lib/aws-cloudwatch';
import {
  DIMENSION_SETS,
  type Dimension,
  type DimensionSet,
  dimensionValue,
  METRIC_NAMESPACE,
  type MetricName,
} from '../lib/metric-catalogue.js';
import type { HeadgateAuthorizer } from './headgate-authorizer.js';
import type { IHeadgateTable } from './headgate-table.js';
import type { UsageAggregator } from './usage-aggregator.js';

const PERIOD = Duration.minutes(5);

/** Whose figures. */
export interface Watched {
  readonly table: IHeadgateTable;
  readonly namespace: string;
  readonly usage?: UsageAggregator | undefined;
  readonly authorizer?: HeadgateAuthorizer | undefined;
}

/** What alarms and dashboard are made of. Sums over five minutes, unless the name says more. */
export interface Figures {
  readonly decisions: {
    readonly granted: Metric;
    readonly denied: Metric;
    readonly failOpen: IMetric;
    readonly unavailable: IMetric;
  };
  readonly throttles: IMetric;
  /** Undefined: there is no aggregator to watch. */
  readonly aggregator: { readonly ageMs: IMetric; readonly failures: IMetric } | undefined;
  readonly queueDepth: IMetric | undefined;
  readonly authorizer: { readonly errors: IMetric; readonly p99Ms: IMetric } | undefined;
}

export function figuresOf(watched: Watched): Figures {
  const {
    table: { table },
    usage,
    authorizer,
  } = watched;
  const sum = { statistic: 'Sum', period: PERIOD };
  const printed = (name: MetricName, set: DimensionSet, reason?: string) => headgateMetric(watched, name, set, { reason });
  const ofTable = (metricName: string) =>
    new Metric({ namespace: 'AWS/DynamoDB', metricName, dimensionsMap: { TableName: table.tableName }, ...sum });
  const added = (label: string, expression: string, usingMetrics: Record<string, IMetric>) =>
    new MathExpression({ label, expression, usingMetrics, period: PERIOD });
  return {
    decisions: {
      granted: printed('Granted', 'namespace'),
      denied: printed('Denied', 'namespace'),
      failOpen: added('let through without the database', 'FILL(allowed,0)+FILL(locally,0)', {
        allowed: printed('Unavailable', 'reason', 'allow'),
        locally: printed('Unavailable', 'reason', 'local'),
      }),
      unavailable: printed('Unavailable', 'reason', 'deny'),
    },
    throttles: added('throttled reads and writes', 'FILL(writes,0)+FILL(reads,0)', {
      writes: ofTable('WriteThrottleEvents'),
      reads: ofTable('ReadThrottleEvents'),
    }),
    aggregator: usage && {
      ageMs: usage.function.lambda.metric('IteratorAge', { statistic: 'Maximum', period: PERIOD }),
      failures: added('batches that were not booked', 'FILL(errors,0)+FILL(partly,0)', {
        errors: usage.function.lambda.metricErrors(sum),
        partly: printed('UsageFailures', 'table'),
      }),
    },
    queueDepth: usage?.failures.metricApproximateNumberOfMessagesVisible({ statistic: 'Maximum', period: PERIOD }),
    authorizer: authorizer && {
      // A call without a good key ends the function with an error, which is how API Gateway is told to answer 401.
      errors: added('failed, and no 401', 'FILL(errors,0)-FILL(unauthorized,0)+FILL(faults,0)', {
        errors: authorizer.function.lambda.metricErrors(sum),
        unauthorized: printed('Unauthorized', 'namespace'),
        faults: printed('Faults', 'reason', 'authorizer'),
      }),
      p99Ms: authorizer.function.lambda.metricDuration({ statistic: 'p99', period: PERIOD }),
    },
  };
}

/** A metric of the catalogue as the functions over this table and namespace print it. */
export function headgateMetric(
  { table: { table }, namespace }: Watched,
  name: MetricName,
  set: DimensionSet,
  { reason, statistic = 'Sum' }: { readonly reason?: string | undefined; readonly statistic?: string } = {},
): Metric {
  const values: Partial<Record<Dimension, string>> = {
    Table: table.tableName,
    Namespace: dimensionValue(namespace),
    Reason: reason,
  };
  const dimensions = DIMENSION_SETS[set].map((dimension): [string, string] => {
    const value = values[dimension];
    if (value === undefined) throw new Error(`Expected a value of ${dimension} for ${name}`);
    return [dimension, value];
  });
  return new Metric({
    namespace: METRIC_NAMESPACE,
    metricName: name,
    dimensionsMap: Object.fromEntries(dimensions),
    statistic,
    period: PERIOD,
  });
}
