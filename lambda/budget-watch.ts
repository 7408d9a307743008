import { ConditionalCheckFailedException, UpdateItemCommand, type UpdateItemCommandInput } from '@aws-sdk/client-dynamodb';
import { BoundedMap } from '../lib/bounded-map.js';
import { Resolution } from '../lib/config/resolution.js';
import { InvalidArgument, NoLimitsConfigured } from '../lib/errors.js';
import { PK, SK, TTL } from '../lib/store/schema.js';
import type { StreamRecord } from '../lib/usage/bucket-changes.js';
import { type BudgetAlert, budgetAlerts, budgetMarkKey, type WindowUsed, windowsUsed } from '../lib/usage/budget-alerts.js';
import type { Composition } from './compose.js';

/** What HEADGATE_BUDGET_ALERTS holds, as JSON. */
export interface BudgetSettings {
  /** Shares of a quota, 1 to 1,000 percent. @default [50, 80, 100] */
  readonly thresholdsPercent?: readonly number[];
  /** An EventBridge bus, by name or ARN. @default none */
  readonly eventBus?: string;
  /** An SNS topic's ARN. @default none */
  readonly topicArn?: string;
}

const DEFAULT_THRESHOLDS_PERCENT = [50, 80, 100];
const LIMITS_KEPT_MS = 60_000;
const REMEMBERED = 10_000;
const MARK_KEPT_MS = 35 * 86_400_000;
const SOURCE = 'headgate';
const DETAIL_TYPE = 'Headgate Budget Alert';

/** Sends the alerts that a batch's buckets amount to. Never rejects: what fails is logged, and tried again with the bucket's next change. */
export type BudgetWatch = (records: readonly StreamRecord[]) => Promise<void>;

/** Throws `InvalidArgument` for settings that are none. */
export function budgetWatch(composition: Composition, text: string): BudgetWatch {
  const settings = JSON.parse(text) as BudgetSettings;
  const thresholds = settings.thresholdsPercent ?? DEFAULT_THRESHOLDS_PERCENT;
  if (!thresholds.every((percent) => Number.isInteger(percent) && percent >= 1 && percent <= 1_000)) {
    const expected = 'integers from 1 to 1000';
    throw new InvalidArgument({ field: 'HEADGATE_BUDGET_ALERTS.thresholdsPercent', value: thresholds, expected });
  }
  const resolutions = new BoundedMap<string, Resolution>(REMEMBERED);
  const sent = new BoundedMap<string, true>(REMEMBERED);

  async function alertsOf(use: WindowUsed): Promise<BudgetAlert[]> {
    const { namespace, entity, resource } = use.bucket;
    let resolution = resolutions.get(namespace);
    if (resolution === undefined) {
      const { store, clock, deadlineMs } = composition;
      resolution = new Resolution({ store, clock, namespace, ttlMs: LIMITS_KEPT_MS, deadlineMs });
      resolutions.set(namespace, resolution);
    }
    try {
      const { levels } = await resolution.configured(entity, resource);
      const level = levels.find((each) => each.entity === entity);
      return level === undefined ? [] : budgetAlerts(use, level, thresholds);
    } catch (error) {
      // Limits that came with the request: nobody knows their capacity here.
      if (error instanceof NoLimitsConfigured) return [];
      throw error;
    }
  }

  return async (records) => {
    for (const use of windowsUsed(records)) {
      try {
        for (const alert of await alertsOf(use)) {
          if (sent.get(alert.id) === undefined && (await wasNotSent(composition, alert))) {
            await send(settings, alert);
            await marked(composition, alert);
          }
          sent.set(alert.id, true);
        }
      } catch (cause) {
        console.error('Budget alert not sent', { bucket: use.bucket, limit: use.limit, cause });
      }
    }
  };
}

/** False when the mark says that the alert was sent. Otherwise the mark is begun, so that a lost answer of the sending leaves a trace. */
async function wasNotSent({ client, tableName }: Composition, alert: BudgetAlert): Promise<boolean> {
  try {
    await client.send(new UpdateItemCommand(markUpdate(tableName, alert, 'begunAt')));
    return true;
  } catch (error) {
    if (error instanceof ConditionalCheckFailedException) return false;
    throw error;
  }
}

/** Two senders at once both send, which the alert's id tells; each of them may mark it. */
async function marked({ client, tableName }: Composition, alert: BudgetAlert): Promise<void> {
  await client.send(new UpdateItemCommand(markUpdate(tableName, alert, 'sentAt'))).catch((error: unknown) => {
    if (!(error instanceof ConditionalCheckFailedException)) throw error;
  });
}

function markUpdate(tableName: string, alert: BudgetAlert, what: 'begunAt' | 'sentAt'): UpdateItemCommandInput {
  const { pk, sk } = budgetMarkKey(alert);
  return {
    TableName: tableName,
    Key: { [PK]: { S: pk }, [SK]: { S: sk } },
    UpdateExpression: 'SET #what = :now, #ttl = :ttl',
    ConditionExpression: 'attribute_not_exists(sentAt)',
    ExpressionAttributeNames: { '#what': what, '#ttl': TTL },
    ExpressionAttributeValues: {
      ':now': { S: new Date().toISOString() },
      ':ttl': { N: String(Math.ceil((Date.parse(alert.windowEnd) + MARK_KEPT_MS) / 1_000)) },
    },
  };
}

async function send({ eventBus, topicArn }: BudgetSettings, alert: BudgetAlert): Promise<void> {
  const detail = JSON.stringify(alert);
  if (eventBus !== undefined) {
    const { EventBridgeClient, PutEventsCommand } = await import('@aws-sdk/client-eventbridge');
    const { FailedEntryCount, Entries } = await new EventBridgeClient({}).send(
      new PutEventsCommand({
        Entries: [{ EventBusName: eventBus, Source: SOURCE, DetailType: DETAIL_TYPE, Detail: detail }],
      }),
    );
    if (FailedEntryCount) throw new Error(`EventBridge refused the alert: ${Entries?.[0]?.ErrorMessage ?? 'no reason given'}`);
  }
  if (topicArn !== undefined) {
    const { PublishCommand, SNSClient } = await import('@aws-sdk/client-sns');
    const what = `${alert.thresholdPercent} % of ${alert.limit} used`;
    await new SNSClient({}).send(new PublishCommand({ TopicArn: topicArn, Subject: `Headgate: ${what}`, Message: detail }));
  }
}
