import { readFileSync } from 'node:fs';
import { App, Duration, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { describe, expect, it } from 'vitest';
import { HeadgateMonitoring, HeadgateTable, UsageAggregator } from '../../infra/index.js';
import { HandlerMetrics } from '../../lambda/handler-metrics.js';
import { Limit } from '../../lib/core/limit.js';
import { RateLimiter } from '../../lib/limiter.js';
import { METRICS, type MetricName } from '../../lib/metric-catalogue.js';
import { MemoryStore } from '../../lib/store/memory-store.js';
import { storedOf } from '../lambda/embedded-metrics.js';
import { resourcesOf, stackTemplate, withBundles } from './stack-template.js';

const ALARMS = [
  'AggregatorAge',
  'AggregatorFailures',
  'AuthorizerErrors',
  'AuthorizerLatency',
  'DenialSurge',
  'FailOpen',
  'TableThrottles',
  'Unavailable',
  'UsageQueueDepth',
];

/** The names of a template's alarms, without the table's and the namespace's. */
const alarmsOf = (template: Template): string[] =>
  resourcesOf(template, 'AWS::CloudWatch::Alarm')
    .map(({ Properties: { AlarmName } }): string => AlarmName['Fn::Join'][1].at(-1).split('-').at(-1))
    .sort();

const alarmOf = (template: Template, name: string) =>
  resourcesOf(template, 'AWS::CloudWatch::Alarm').find(({ Properties }) => Properties.AlarmDescription.endsWith(`, ${name}`))
    ?.Properties ?? {};

const sorted = (dimensions: Readonly<Record<string, unknown>>) => Object.entries(dimensions).sort(([a], [b]) => (a < b ? -1 : 1));

interface Read {
  readonly namespace: string;
  readonly name: string;
  readonly dimensions: Readonly<Record<string, unknown>>;
}

/** Every metric that an alarm reads, the table's name in it as `T`. */
function readBy(template: Template): Read[] {
  const [table = ''] = Object.keys(template.findResources('AWS::DynamoDB::Table'));
  const metrics = resourcesOf(template, 'AWS::CloudWatch::Alarm').flatMap(({ Properties }) =>
    Properties.Metrics === undefined
      ? [Properties]
      : Properties.Metrics.flatMap((one: { MetricStat?: { Metric: object } }) => one.MetricStat?.Metric ?? []),
  );
  return metrics.map(({ Namespace, MetricName, Dimensions }) => ({
    namespace: Namespace,
    name: MetricName,
    dimensions: Object.fromEntries(
      Dimensions.map(({ Name, Value }: { Name: string; Value: string | { Ref?: string } }) => [
        Name,
        typeof Value === 'object' && Value.Ref === table ? 'T' : Value,
      ]),
    ),
  }));
}

/** Names and dimensions of all that the code prints for what these alarms are about. */
async function printedBy(namespace: string): Promise<Set<string>> {
  const lines: string[] = [];
  const metrics = new HandlerMetrics({ tableName: 'T', namespace, print: (line) => void lines.push(line) });
  const limiter = new RateLimiter({ store: new MemoryStore(), onEvent: metrics.onEvent });
  const request = { entity: 'key-1', resource: 'gpt-4', limits: [Limit.perDay('rpm', 1)], consume: { rpm: 1 } };
  await limiter.tryAcquire(request);
  await limiter.tryAcquire(request);
  for (const decided of ['deny', 'allow', 'local'] as const) metrics.onEvent({ kind: 'unavailable', ...request, decided });
  metrics.add('Faults', 1, 'authorizer');
  metrics.add('Unauthorized', 1);
  metrics.add('UsageFailures', 1);
  metrics.flush(limiter.stats(), 1_800_000_000_000);
  return new Set(lines.flatMap(storedOf).map(({ name, dimensions }) => JSON.stringify([name, sorted(dimensions)])));
}

describe('the stack is watched', () => {
  it('by every alarm there is', () => {
    expect(alarmsOf(stackTemplate())).toEqual(ALARMS);
  });

  it.each(['default', 'größe'])(
    'on metrics that the functions print, by their very names and dimensions, in the namespace %s',
    async (namespace) => {
      const printed = await printedBy(namespace);
      const own = readBy(stackTemplate({ namespace })).filter((read) => read.namespace === 'Headgate');

      expect(own.map(({ name }) => name).sort()).toEqual([
        'Denied',
        'Faults',
        'Granted',
        'Unauthorized',
        'Unavailable',
        'Unavailable',
        'Unavailable',
        'UsageFailures',
      ]);
      for (const { name, dimensions } of own) expect([...printed]).toContain(JSON.stringify([name, sorted(dimensions)]));
    },
  );

  it('on metrics of AWS by the names of what was made', () => {
    const template = stackTemplate();
    const read = readBy(template).filter(({ namespace }) => namespace !== 'Headgate');
    const made = new Set(Object.keys(template.toJSON().Resources));

    expect(read.map(({ namespace, name }) => `${namespace} ${name}`).sort()).toEqual([
      'AWS/DynamoDB ReadThrottleEvents',
      'AWS/DynamoDB WriteThrottleEvents',
      'AWS/Lambda Duration',
      'AWS/Lambda Errors',
      'AWS/Lambda Errors',
      'AWS/Lambda IteratorAge',
      'AWS/SQS ApproximateNumberOfMessagesVisible',
    ]);
    for (const { dimensions } of read) {
      for (const value of Object.values(dimensions) as { readonly Ref?: string; readonly 'Fn::GetAtt'?: readonly string[] }[])
        expect(value === ('T' as never) || made.has(value.Ref ?? value['Fn::GetAtt']?.[0] ?? '')).toBe(true);
    }
  });

  it('on thresholds as documented', () => {
    const template = stackTemplate();
    expect(ALARMS.map((name) => [name, alarmOf(template, name).Threshold, alarmOf(template, name).EvaluationPeriods])).toEqual([
      ['AggregatorAge', 300_000, 3],
      ['AggregatorFailures', 1, 3],
      ['AuthorizerErrors', 5, 2],
      ['AuthorizerLatency', 500, 3],
      ['DenialSurge', 50, 3],
      ['FailOpen', 1, 1],
      ['TableThrottles', 10, 2],
      ['Unavailable', 5, 2],
      ['UsageQueueDepth', 1, 1],
    ]);
  });

  it('on other thresholds where they are given', () => {
    const template = stackTemplate({
      monitoring: { thresholds: { aggregatorAge: Duration.minutes(20), denialSurgeRequests: 7 } },
    });
    expect(alarmOf(template, 'AggregatorAge').Threshold).toBe(1_200_000);
    expect(JSON.stringify(alarmOf(template, 'DenialSurge').Metrics)).toContain('>= 7,');
  });

  it('and not at all where that is said', () => {
    const template = stackTemplate({ monitoring: false });
    template.resourceCountIs('AWS::CloudWatch::Alarm', 0);
    template.resourceCountIs('AWS::CloudWatch::Dashboard', 0);
  });

  it('by nothing when no data comes: nobody calling is no trouble', () => {
    stackTemplate().allResourcesProperties('AWS::CloudWatch::Alarm', { TreatMissingData: 'notBreaching' });
  });
});

describe('a dashboard', () => {
  const body = () => JSON.stringify(resourcesOf(stackTemplate(), 'AWS::CloudWatch::Dashboard')[0]?.Properties.DashboardBody);

  it('asks who is limited and by what, whether it is healthy, and what it costs', () => {
    const text = body();
    for (const part of [
      'Who is limited, and by what',
      'Is it healthy',
      'What does it cost',
      'stats sum(Denied) as denials by Entity, Resource, Reason',
    ])
      expect(text).toContain(part);
  });

  it('reads no metric of ours that the functions do not print', () => {
    const names = [...body().matchAll(/\\+"Headgate\\+",\\+"(\w+)\\+"/g)].map(([, name]) => name as MetricName);
    expect(names.length).toBeGreaterThan(8);
    expect(names.filter((name) => METRICS[name] === undefined)).toEqual([]);
  });

  it('searches figures by the dimensions that they are printed with', () => {
    expect(body()).toContain('{Headgate,Namespace,Reason,Resource,Table} MetricName=');
    expect(body()).toContain('{Headgate,Namespace,Resource,Table} MetricName=');
  });
});

describe('alone, over a table that another stack owns', () => {
  const alone = (build: (stack: Stack) => void): Template => {
    const stack = new Stack(new App(), 'Alone');
    build(stack);
    return Template.fromStack(stack);
  };
  const imported = (stack: Stack) =>
    HeadgateTable.fromTableArn(stack, 'Table', 'arn:aws:dynamodb:eu-west-1:123456789012:table/limits');

  it('there are the alarms of the table and of decisions, and a dashboard without functions', () => {
    const template = alone((stack) => new HeadgateMonitoring(stack, 'Monitoring', { table: imported(stack), namespace: 'acme' }));
    const names: string[] = resourcesOf(template, 'AWS::CloudWatch::Alarm').map(({ Properties }) => Properties.AlarmName);
    expect(names.sort()).toEqual([
      'limits-acme-DenialSurge',
      'limits-acme-FailOpen',
      'limits-acme-TableThrottles',
      'limits-acme-Unavailable',
    ]);
    template.resourceCountIs('AWS::CloudWatch::Dashboard', 1);
  });

  it('there are those of the aggregator beside an aggregator, and every alarm acts', () => {
    const template = withBundles((bundleDirectory) =>
      alone((stack) => {
        const table = new HeadgateTable(stack, 'Table');
        const usage = new UsageAggregator(stack, 'Usage', { table, bundleDirectory });
        const actions = [new SnsAction(new Topic(stack, 'Pager'))];
        new HeadgateMonitoring(stack, 'Monitoring', { table, usage, actions, dashboard: false });
      }),
    );
    expect(alarmsOf(template)).toEqual([
      'AggregatorAge',
      'AggregatorFailures',
      'DenialSurge',
      'FailOpen',
      'TableThrottles',
      'Unavailable',
      'UsageQueueDepth',
    ]);
    template.resourceCountIs('AWS::CloudWatch::Dashboard', 0);
    const [pager] = Object.keys(template.findResources('AWS::SNS::Topic'));
    template.allResourcesProperties('AWS::CloudWatch::Alarm', { AlarmActions: [{ Ref: pager }], OKActions: [{ Ref: pager }] });
  });
});

it('every alarm has a runbook', () => {
  const headings: readonly string[] = readFileSync('docs/operations.md', 'utf8').match(/^### \w+$/gm) ?? [];
  expect(ALARMS.filter((name) => !headings.includes(`### ${name}`))).toEqual([]);
});
