import { Duration } from 'aws-cdk-lib';
import {
  Dashboard,
  GraphWidget,
  type IMetric,
  type IWidget,
  LogQueryWidget,
  MathExpression,
  TextWidget,
} from 'aws-cdk-lib/aws-cloudwatch';
import type { Function as LambdaFunction } from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import { PRICE_LISTS, type PriceList } from '../lib/cost/price-list.js';
import { DIMENSION_SETS, dimensionValue, METRIC_NAMESPACE, type MetricName } from '../lib/metric-catalogue.js';
import { type Figures, headgateMetric, type Watched } from './headgate-figures.js';

const PERIOD = Duration.minutes(5);
const HOUR = Duration.hours(1);

export interface DashboardParts {
  readonly watched: Watched;
  readonly figures: Figures;
  /** The functions that admit or serve, by what they are called. */
  readonly functions: Readonly<Record<string, LambdaFunction>>;
}

/** One page that answers: who is limited, by what, is it healthy, what does it cost. Named by CloudFormation: a table's name may hold a dot. */
export function headgateDashboard(scope: Construct, parts: DashboardParts): Dashboard {
  return new Dashboard(scope, 'Dashboard', {
    widgets: [
      [heading('Who is limited, and by what')],
      limited(parts),
      [heading('Is it healthy')],
      ...healthy(parts),
      [heading('What does it cost')],
      cost(parts),
    ],
  });
}

const heading = (text: string) => new TextWidget({ markdown: `## ${text}`, width: 24, height: 1 });

function graph(title: string, left: readonly IMetric[], right: readonly IMetric[] = []): GraphWidget {
  return new GraphWidget({ title, left: [...left], right: [...right], width: 8, height: 6 });
}

/** A line for each resource, or each limit, that the functions gave figures of its own. */
function each({ table: { table }, namespace }: Watched, name: MetricName, set: 'resource' | 'limit'): MathExpression {
  const schema = [METRIC_NAMESPACE, ...[...DIMENSION_SETS[set]].sort()].join();
  const of = `MetricName="${name}" Table="${table.tableName}" Namespace="${dimensionValue(namespace)}"`;
  return new MathExpression({
    expression: `SEARCH('{${schema}} ${of}', 'Sum', 300)`,
    usingMetrics: {},
    label: '',
    period: PERIOD,
  });
}

function limited({ watched, figures: { decisions }, functions }: DashboardParts): IWidget[] {
  const logGroupNames = Object.values(functions).map((lambda) => lambda.logGroup.logGroupName);
  const denials =
    logGroupNames.length === 0
      ? []
      : [
          new LogQueryWidget({
            title: 'Denied most: whose limit, of what',
            logGroupNames,
            queryLines: [
              'filter ispresent(Denied) and ispresent(Entity)',
              'stats sum(Denied) as denials by Entity, Resource, Reason',
              'sort denials desc',
              'limit 20',
            ],
            width: 8,
            height: 6,
          }),
        ];
  return [
    ...denials,
    graph('Denied, by resource and limit', [each(watched, 'Denied', 'limit')]),
    graph('Near a limit, by resource and limit', [each(watched, 'NearLimit', 'limit')]),
    graph('Granted and denied', [decisions.granted, decisions.denied]),
    graph('Granted, by resource', [each(watched, 'Granted', 'resource')]),
    graph('Observed limits that would have denied', [each(watched, 'Overdrawn', 'limit')]),
  ];
}

function healthy({ watched, figures, functions }: DashboardParts): IWidget[][] {
  const { decisions, throttles, aggregator, queueDepth, authorizer } = figures;
  const lambdas = Object.entries(functions);
  const printed = (name: MetricName, statistic: string) => headgateMetric(watched, name, 'namespace', { statistic });
  return [
    [
      graph('Without the database: let through, refused', [decisions.failOpen, decisions.unavailable]),
      graph(
        'Errors of the functions (a 401 is one of the authorizer)',
        lambdas.map(([label, lambda]) => lambda.metricErrors({ label, period: PERIOD })),
      ),
      graph(
        'p99 of the functions, ms',
        lambdas.map(([label, lambda]) => lambda.metricDuration({ label, statistic: 'p99', period: PERIOD })),
      ),
    ],
    [
      graph('Throttles of the table', [throttles, printed('Throttles', 'Sum')]),
      graph('Writes that a grant took', [printed('Attempts', 'Average'), printed('Attempts', 'Maximum')]),
      graph(
        'Clock skew and settle lag, ms',
        [printed('ClockSkew', 'Minimum'), printed('ClockSkew', 'Maximum')],
        [printed('SettleLag', 'p50')],
      ),
    ],
    [
      ...(authorizer ? [graph('Authorizer: failures that are no 401', [authorizer.errors])] : []),
      ...(aggregator ? [graph('Usage: age of the oldest change, ms', [aggregator.ageMs], [aggregator.failures])] : []),
      ...(queueDepth ? [graph('Usage: parts of the stream given up', [queueDepth])] : []),
    ],
  ].filter((row) => row.length > 0);
}

/** By the prices of North Virginia: dollars an hour, and what they are for. */
function cost({
  watched: {
    table: { table },
  },
  functions,
}: DashboardParts): IWidget[] {
  const prices = PRICE_LISTS['us-east-1'] as PriceList;
  const hourly = { statistic: 'Sum', period: HOUR };
  const writes = table.metricConsumedWriteCapacityUnits(hourly);
  const reads = table.metricConsumedReadCapacityUnits(hourly);
  const dollars = (label: string, expression: string, usingMetrics: Record<string, IMetric>) =>
    new MathExpression({ label, expression, usingMetrics, period: HOUR });
  const each = Object.entries(functions);
  return [
    graph('Write and read units an hour', [writes], [reads]),
    graph('Table, $ an hour (us-east-1)', [
      dollars(
        'table',
        `FILL(w,0)*${prices.dynamoDbPerMillionWriteUnits}/1000000+FILL(r,0)*${prices.dynamoDbPerMillionReadUnits}/1000000`,
        {
          w: writes,
          r: reads,
        },
      ),
    ]),
    graph(
      'Functions, $ an hour (us-east-1)',
      each.map(([label, lambda]) =>
        dollars(
          label,
          `FILL(${label}Calls,0)*${prices.lambdaPerMillionRequests}/1000000+FILL(${label}Ms,0)/1000*${gigabytesOf(lambda)}*${prices.lambdaPerGbSecond.toFixed(10)}`,
          { [`${label}Calls`]: lambda.metricInvocations(hourly), [`${label}Ms`]: lambda.metricDuration(hourly) },
        ),
      ),
    ),
  ];
}

const gigabytesOf = (lambda: LambdaFunction): number =>
  ((lambda.node.defaultChild as { memorySize?: number }).memorySize ?? 128) / 1024;
