import { describe, expect, it } from 'vitest';
import { bucketPk, configPk, credentialPk, entityPk, leasePk } from '../../lib/store/schema.js';
import { functionOf, onlyResource, stackTemplate, statementsOf } from './stack-template.js';

const template = stackTemplate();
const eventSource = onlyResource(template, 'AWS::Lambda::EventSourceMapping').Properties;

describe('the event source of the aggregator', () => {
  it('lets only inserts and modifications of bucket items through', () => {
    const patterns = eventSource.FilterCriteria.Filters.map((filter: { Pattern: string }) => JSON.parse(filter.Pattern));
    expect(patterns).toEqual([{ eventName: ['INSERT', 'MODIFY'], dynamodb: { Keys: { sk: { S: ['b'] } } } }]);
  });

  it('starts with the oldest change, so that none made during the deployment is lost', () => {
    expect(eventSource.StartingPosition).toBe('TRIM_HORIZON');
  });

  it('narrows a failed batch down to the failing record', () => {
    expect(eventSource).toMatchObject({
      BisectBatchOnFunctionError: true,
      FunctionResponseTypes: ['ReportBatchItemFailures'],
    });
  });

  it('gives a failing record up by its age alone, while the stream still holds it for a replay', () => {
    // Lambda waits a minute at most between two attempts: ten thousand outlast the twelve hours.
    expect(eventSource.MaximumRetryAttempts).toBe(10_000);
    expect(eventSource.MaximumRecordAgeInSeconds).toBe(12 * 3600);
    expect(eventSource.DestinationConfig.OnFailure.Destination['Fn::GetAtt'][0]).toMatch(/^UsageFailures/);
  });

  it('gathers at most 1,000 changes for at most five seconds, on four lanes a shard', () => {
    expect(eventSource).toMatchObject({ BatchSize: 1000, MaximumBatchingWindowInSeconds: 5, ParallelizationFactor: 4 });
  });
});

describe('the queue of records that are not booked', () => {
  it('keeps them fourteen days, and the aggregator knows it and may send to it', () => {
    const [[id, queue] = ['', undefined], ...others] = Object.entries(template.findResources('AWS::SQS::Queue'));
    expect(others).toEqual([]);
    expect(queue?.Properties.MessageRetentionPeriod).toBe(14 * 86_400);
    expect(functionOf(template, 'aggregator').Properties.Environment.Variables.HEADGATE_UNBOOKED_QUEUE).toEqual({ Ref: id });
    const sends = statementsOf(template, 'aggregator').filter(({ Action }) => Action.includes('sqs:SendMessage'));
    expect(sends.map(({ Resource }) => Resource)).toContainEqual([{ 'Fn::GetAtt': [id, 'Arn'] }]);
  });

  it('is encrypted and refuses connections without TLS', () => {
    expect(onlyResource(template, 'AWS::SQS::Queue').Properties.SqsManagedSseEnabled).toBe(true);
    expect(onlyResource(template, 'AWS::SQS::QueuePolicy').Properties.PolicyDocument.Statement).toContainEqual(
      expect.objectContaining({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
    );
  });
});

describe('what the aggregator may write', () => {
  const writes = statementsOf(template, 'aggregator').filter((statement) => statement.Action.includes('dynamodb:UpdateItem'));
  const patterns: string[] = writes.flatMap(
    (statement) => statement.Condition?.['ForAllValues:StringLike']?.['dynamodb:LeadingKeys'] ?? [],
  );
  const mayWrite = (pk: string) => patterns.some((pattern) => new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(pk));

  it.each([
    { what: 'an entity’s usage', pk: entityPk('default', 'key-1') },
    { what: 'an entity’s usage in another namespace', pk: entityPk('acme', 'key-1') },
    { what: 'a resource’s usage', pk: 'default#r#gpt-4#7' },
    { what: 'a namespace’s usage', pk: 'default#ns#0' },
  ])('includes $what', ({ pk }) => {
    expect(mayWrite(pk)).toBe(true);
  });

  it.each([
    { what: 'a bucket', pk: bucketPk({ namespace: 'default', resource: 'gpt-4', entity: 'key-1', shard: 0 }) },
    { what: 'the configuration', pk: configPk('default') },
    { what: 'a credential', pk: credentialPk('default', 'ab'.repeat(32)) },
    { what: 'a closed lease', pk: leasePk('default', '01J') },
    { what: 'the list of namespaces', pk: '#namespaces' },
  ])('excludes $what', ({ pk }) => {
    expect(mayWrite(pk)).toBe(false);
  });
});

describe('budget alerts', () => {
  const alerting = stackTemplate({ budgetAlerts: { thresholdsPercent: [90] } });
  const environment = functionOf(alerting, 'aggregator').Properties.Environment.Variables;
  const actionsOf = (stack: typeof template) => statementsOf(stack, 'aggregator').flatMap(({ Action }) => Action);

  it('are nobody’s unless asked for, and the aggregator then reads no configuration', () => {
    expect(functionOf(template, 'aggregator').Properties.Environment.Variables).not.toHaveProperty('HEADGATE_BUDGET_ALERTS');
    expect(actionsOf(template)).not.toContain('events:PutEvents');
    expect(actionsOf(template)).not.toContain('dynamodb:BatchGetItem');
  });

  it('go to the default bus as told, which the aggregator may write to', () => {
    expect(JSON.stringify(environment.HEADGATE_BUDGET_ALERTS)).toMatch(/thresholdsPercent.*\[90\].*event-bus\/default/);
    expect(actionsOf(alerting)).toEqual(expect.arrayContaining(['events:PutEvents', 'dynamodb:BatchGetItem']));
  });

  it('are refused at a share that is none', () => {
    expect(() => stackTemplate({ budgetAlerts: { thresholdsPercent: [0] } })).toThrow(
      'Expected thresholdsPercent to be integers from 1 to 1000, got 0',
    );
  });
});
