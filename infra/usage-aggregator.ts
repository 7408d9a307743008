import { Duration, Stack, Validations } from 'aws-cdk-lib';
import { EventBus, type IEventBus } from 'aws-cdk-lib/aws-events';
import { FilterCriteria, FilterRule, StartingPosition } from 'aws-cdk-lib/aws-lambda';
import { DynamoEventSource, SqsDlq } from 'aws-cdk-lib/aws-lambda-event-sources';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { BUCKET_SK, FEWEST_USAGE_DAYS, MOST_USAGE_DAYS, SK, type UsagePeriod } from '../lib/store/schema.js';
import { functionOptions, HeadgateFunction, type HeadgateFunctionOptions } from './headgate-function.js';
import type { IHeadgateTable } from './headgate-table.js';
import { UsageArchive, type UsageArchiveOptions } from './usage-archive.js';

/** How usage is counted and kept. */
export interface UsageOptions {
  /**
   * How long usage rows are kept after their period has ended, whole days, 16 to 3,660 each.
   * @default - hours 35 days, days 400 days, months for good
   */
  readonly usageRetention?: Partial<Record<UsagePeriod, Duration>>;

  /**
   * Whether usage rows and audit records that expire go to S3.
   * @default - they are gone
   */
  readonly usageArchive?: UsageArchiveOptions;

  /**
   * Whether anybody is told when quotas are used up.
   * @default - nobody
   */
  readonly budgetAlerts?: BudgetAlertOptions;
}

/** Who is told when calendar quotas are used up, and when. */
export interface BudgetAlertOptions {
  /**
   * Shares of a quota, 1 to 1,000 percent: each is told once in a day or month of the quota.
   * @default [50, 80, 100]
   */
  readonly thresholdsPercent?: readonly number[];

  /**
   * The bus that gets the alerts as events, source `headgate`.
   * @default - the account's default bus, unless there is a topic
   */
  readonly eventBus?: IEventBus;

  /**
   * A topic that gets them as messages.
   * @default - none
   */
  readonly topic?: ITopic;
}

export interface UsageAggregatorProps extends HeadgateFunctionOptions, UsageOptions {
  /**
   * Batches of one stream shard handled at a time, 1 to 10. Changes of one item stay in order whatever the number.
   * @default 4
   */
  readonly parallelization?: number;
}

/**
 * Turns the table's stream into usage rows: one function behind one event source.
 *
 * Only writes of bucket items reach it. Its own usage rows must not (each would call it again), nor a REMOVE: neither the TTL's nor an
 * operator's is consumption. A full batch groups the most writes of a bucket into one; five seconds is the most a row lags behind.
 *
 * A record that no delivery would book goes to the queue at once, with its images. What fails otherwise passes, as when the table is out of reach:
 * it comes again until it is twelve hours old, however often that is, split down to the failing record. Then its position in the stream goes to the
 * queue, and for twelve hours more the stream still holds the record. `headgate replay` counts both.
 */
export class UsageAggregator extends Construct {
  readonly function: HeadgateFunction;
  /** Records that cannot be booked, and stream positions that were given up: kept 14 days, for `headgate replay`. */
  readonly failures: Queue;
  /** Undefined unless asked for. */
  readonly archive: UsageArchive | undefined;

  constructor(scope: Construct, id: string, props: UsageAggregatorProps) {
    super(scope, id);
    this.failures = new Queue(this, 'Failures', {
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
    });
    this.function = new HeadgateFunction(this, 'Aggregator', {
      ...functionOptions(props),
      handler: 'aggregator',
      description: "Headgate: adds the buckets' changes to the usage rows",
      timeout: Duration.minutes(1),
      memorySizeMb: 512,
      environment: {
        HEADGATE_UNBOOKED_QUEUE: this.failures.queueUrl,
        ...(props.usageRetention && { HEADGATE_USAGE_RETENTION: retentionDays(props.usageRetention) }),
      },
    });
    this.failures.grantSendMessages(this.function.lambda);
    this.function.lambda.addEventSource(
      new DynamoEventSource(props.table.table, {
        startingPosition: StartingPosition.TRIM_HORIZON,
        filters: [
          FilterCriteria.filter({
            eventName: FilterRule.or('INSERT', 'MODIFY'),
            dynamodb: { Keys: { [SK]: { S: FilterRule.isEqual(BUCKET_SK) } } },
          }),
        ],
        batchSize: 1000,
        maxBatchingWindow: Duration.seconds(5),
        parallelizationFactor: props.parallelization ?? 4,
        bisectBatchOnError: true,
        reportBatchItemFailures: true,
        retryAttempts: 10_000,
        maxRecordAge: Duration.hours(12),
        onFailure: new SqsDlq(this.failures),
      }),
    );
    Validations.of(this.failures).acknowledge({
      id: 'AwsSolutions-SQS3',
      reason: 'It is the dead-letter queue of the event source.',
    });
    Validations.of(this.function).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'ListStreams knows no resource: to read the stream itself is granted on that stream alone.',
    });
    // The stream carries the buckets of all namespaces, so the grant spans them, but only the partitions that hold usage rows.
    props.table.grantItems(this.function.lambda, ['*#e#*', '*#r#*', '*#ns#*'], ['UpdateItem']);
    if (props.budgetAlerts !== undefined) this.#alert(props.table, props.budgetAlerts);
    this.archive = props.usageArchive && new UsageArchive(this, 'Archive', { ...functionOptions(props), ...props.usageArchive });
  }

  #alert(table: IHeadgateTable, { thresholdsPercent = [50, 80, 100], eventBus, topic }: BudgetAlertOptions): void {
    if (!thresholdsPercent.every((percent) => Number.isInteger(percent) && percent >= 1 && percent <= 1_000))
      throw new Error(`Expected thresholdsPercent to be integers from 1 to 1000, got ${thresholdsPercent.join(', ')}`);
    const { lambda } = this.function;
    const bus = eventBus ?? (topic === undefined ? EventBus.fromEventBusName(this, 'DefaultBus', 'default') : undefined);
    bus?.grantPutEventsTo(lambda);
    topic?.grantPublish(lambda);
    // A quota's capacity is in the configuration, which is read and never written.
    table.grantItems(lambda, ['*#config', '*#e#*'], ['BatchGetItem']);
    const settings = { thresholdsPercent, eventBus: bus?.eventBusArn, topicArn: topic?.topicArn };
    lambda.addEnvironment('HEADGATE_BUDGET_ALERTS', Stack.of(this).toJsonString(settings));
  }
}

/** As the aggregator reads it. Throws for a time that it would refuse. */
function retentionDays(retention: Partial<Record<UsagePeriod, Duration>>): string {
  const days = Object.fromEntries(Object.entries(retention).map(([period, kept]) => [period, kept.toDays()]));
  for (const [period, kept] of Object.entries(days)) {
    if (kept < FEWEST_USAGE_DAYS || kept > MOST_USAGE_DAYS) {
      const legal = `an integer from ${FEWEST_USAGE_DAYS} to ${MOST_USAGE_DAYS}`;
      throw new Error(`Expected usageRetention.${period} to be ${legal}, got ${kept}`);
    }
  }
  return JSON.stringify(days);
}
