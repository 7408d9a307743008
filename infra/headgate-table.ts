import { type Duration, RemovalPolicy } from 'aws-cdk-lib';
import { type AttributeType, BillingMode, type ITable, StreamViewType, Table, TableEncryption } from 'aws-cdk-lib/aws-dynamodb';
import { Grant, type IGrantable, type IResourceWithPolicy } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Construct, type IConstruct } from 'constructs';
import { TTL } from '../lib/store/schema.js';
import { tableDefinition } from '../lib/store/table-definition.js';
import { admissionKeysOf, DEFAULT_NAMESPACE, leadingKeysOf, usageKeysOf } from './namespace.js';

/** What a function may do with single items or one partition. There is no Scan: no listing of Headgate's needs one. */
export type ItemAction = 'BatchGetItem' | 'ConditionCheckItem' | 'DeleteItem' | 'GetItem' | 'PutItem' | 'Query' | 'UpdateItem';

/** What administration sends, acquiring included. A transaction needs the permissions of its parts. */
const ADMIN: readonly ItemAction[] = [
  'UpdateItem',
  'BatchGetItem',
  'GetItem',
  'Query',
  'PutItem',
  'DeleteItem',
  'ConditionCheckItem',
];

/** Whose items a grant opens. */
export interface NamespaceGrant {
  /**
   * The tenant: 1 to 256 bytes without `#`.
   * @default 'default'
   */
  readonly namespace?: string | undefined;
}

/** A table of Headgate's, made here or elsewhere. */
export interface IHeadgateTable extends IConstruct {
  readonly table: ITable;

  /**
   * Allows to acquire, settle, release, and look at limits of one namespace, what the SDK's `RateLimiter` does: writing its buckets, and reading what
   * is configured. A grantee of another account gets it by
   * the table's own policy, and uses the table's ARN as its name.
   */
  grantAcquire(grantee: IGrantable, options?: NamespaceGrant): Grant;

  /** Allows to acquire and to administer limits, entities and keys of one namespace: what `HeadgateAdmin` and the command line do. */
  grantAdmin(grantee: IGrantable, options?: NamespaceGrant): Grant;

  /** Allows to read the usage of one namespace, which stands beside the records of its entities: those can be read as well. */
  grantReadUsage(grantee: IGrantable, options?: NamespaceGrant): Grant;

  /**
   * Allows the actions on the items whose partition key matches one of the patterns (StringLike), and on no others.
   * `ForAllValues`, because a batch or a transaction names several keys and each must match
   * (DynamoDB developer guide, "Using IAM policy conditions for fine-grained access control").
   */
  grantItems(grantee: IGrantable, leadingKeys: readonly string[], actions: readonly ItemAction[]): Grant;
}

export interface HeadgateTableProps {
  /**
   * The table's name, unique in the account and region.
   * @default 'headgate'
   */
  readonly tableName?: string | undefined;

  /**
   * What becomes of the table, and of every limit, debt and key in it, when the stack goes.
   * @default RemovalPolicy.RETAIN
   */
  readonly removalPolicy?: RemovalPolicy | undefined;

  /**
   * Whether DynamoDB refuses to delete the table.
   * @default true while the removal policy is RETAIN, else false (a protected table cannot be removed with its stack)
   */
  readonly deletionProtection?: boolean | undefined;

  /**
   * Capacity that is paid by the hour and follows the load, in units a second. For load that is steady for hours; a burst above it is throttled until
   * it has grown.
   * @default - on demand: paid by the request
   */
  readonly provisioned?: ProvisionedCapacity | undefined;

  /**
   * What the table can take from its first second on, in units a second: at least 12,000 reads and 4,000 writes. Paid once.
   * @default - what DynamoDB starts with
   */
  readonly warmThroughput?: { readonly readUnitsPerSecond: number; readonly writeUnitsPerSecond: number } | undefined;

  /**
   * A key of your own to encrypt with, which every grant then opens as well. Each part of the table asks for it every five minutes.
   * @default - DynamoDB's own key, which costs nothing
   */
  readonly encryptionKey?: IKey | undefined;

  /**
   * Whether CloudWatch counts the busiest keys: who is limited most, at a price for each write.
   * @default false
   */
  readonly contributorInsights?: boolean | undefined;

  /**
   * How far back the table can be restored to any second: 1 to 35 days.
   * @default Duration.days(35)
   */
  readonly recoveryPeriod?: Duration | undefined;
}

/** Capacity that follows the load between two bounds. */
export interface ProvisionedCapacity {
  readonly minReadUnits: number;
  readonly maxReadUnits: number;
  readonly minWriteUnits: number;
  readonly maxWriteUnits: number;
  /**
   * The share of the capacity that is kept in use, in percent: 20 to 90.
   * @default 70
   */
  readonly targetUtilizationPercent?: number | undefined;
}

/** How to reach a table that another stack or account owns. */
export interface HeadgateTableAttributes {
  readonly tableArn: string;
  /**
   * The ARN of its stream, for a `UsageAggregator`.
   * @default - it has none for this stack
   */
  readonly tableStreamArn?: string | undefined;
  /**
   * The key that it is encrypted with.
   * @default - DynamoDB's own
   */
  readonly encryptionKey?: IKey | undefined;
}

abstract class GrantingTable extends Construct implements IHeadgateTable {
  abstract readonly table: ITable & IResourceWithPolicy;
  protected abstract readonly encryptionKey: IKey | undefined;

  grantAcquire(grantee: IGrantable, { namespace = DEFAULT_NAMESPACE }: NamespaceGrant = {}): Grant {
    const { buckets, configuration } = admissionKeysOf(namespace);
    return this.grantItems(grantee, buckets, ['UpdateItem', 'GetItem']).combine(
      this.grantItems(grantee, configuration, ['BatchGetItem']),
    );
  }

  grantAdmin(grantee: IGrantable, { namespace = DEFAULT_NAMESPACE }: NamespaceGrant = {}): Grant {
    return this.grantItems(grantee, [leadingKeysOf(namespace)], ADMIN);
  }

  grantReadUsage(grantee: IGrantable, { namespace = DEFAULT_NAMESPACE }: NamespaceGrant = {}): Grant {
    return this.grantItems(grantee, usageKeysOf(namespace), ['Query']);
  }

  grantItems(grantee: IGrantable, leadingKeys: readonly string[], actions: readonly ItemAction[]): Grant {
    this.encryptionKey?.grantEncryptDecrypt(grantee);
    return Grant.addToPrincipalOrResource({
      grantee,
      actions: actions.map((action) => `dynamodb:${action}`),
      resourceArns: [this.table.tableArn],
      resource: this.table,
      resourceSelfArns: ['*'],
      conditions: { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': [...leadingKeys] } },
    });
  }
}

/**
 * Headgate's one table: keys, stream and billing from the SDK's `tableDefinition`, and what CreateTable cannot say: TTL, point-in-time
 * recovery, protection.
 */
export class HeadgateTable extends GrantingTable {
  /** A table that another stack or account owns, to grant and to use. Without its stream no `UsageAggregator` can be put on it. */
  static fromTableArn(scope: Construct, id: string, tableArn: string): IHeadgateTable {
    return HeadgateTable.fromTableAttributes(scope, id, { tableArn });
  }

  /** As `fromTableArn`, with its stream and key. */
  static fromTableAttributes(scope: Construct, id: string, attributes: HeadgateTableAttributes): IHeadgateTable {
    return new ImportedTable(scope, id, attributes);
  }

  readonly table: Table;
  protected readonly encryptionKey: IKey | undefined;

  constructor(scope: Construct, id: string, props: HeadgateTableProps = {}) {
    super(scope, id);
    const definition = tableDefinition(props.tableName ?? 'headgate');
    const removalPolicy = props.removalPolicy ?? RemovalPolicy.RETAIN;
    const { provisioned, encryptionKey, warmThroughput, contributorInsights } = props;
    this.encryptionKey = encryptionKey;
    this.table = new Table(this, 'Table', {
      tableName: definition.TableName,
      partitionKey: keyOf(definition, 'HASH'),
      sortKey: keyOf(definition, 'RANGE'),
      ...(provisioned === undefined
        ? { billingMode: BillingMode[definition.BillingMode] }
        : {
            billingMode: BillingMode.PROVISIONED,
            readCapacity: provisioned.minReadUnits,
            writeCapacity: provisioned.minWriteUnits,
          }),
      stream: StreamViewType[definition.StreamSpecification.StreamViewType],
      timeToLiveAttribute: TTL,
      pointInTimeRecoverySpecification: {
        pointInTimeRecoveryEnabled: true,
        ...(props.recoveryPeriod && { recoveryPeriodInDays: props.recoveryPeriod.toDays() }),
      },
      removalPolicy,
      deletionProtection: props.deletionProtection ?? removalPolicy === RemovalPolicy.RETAIN,
      ...(encryptionKey && { encryption: TableEncryption.CUSTOMER_MANAGED, encryptionKey }),
      ...(warmThroughput && { warmThroughput }),
      ...(contributorInsights && { contributorInsightsSpecification: { enabled: true } }),
    });
    if (provisioned !== undefined) followLoad(this.table, provisioned);
  }
}

class ImportedTable extends GrantingTable {
  readonly table: ITable & IResourceWithPolicy;
  protected readonly encryptionKey: IKey | undefined;

  constructor(scope: Construct, id: string, { tableArn, tableStreamArn, encryptionKey }: HeadgateTableAttributes) {
    super(scope, id);
    this.encryptionKey = encryptionKey;
    this.table = Table.fromTableAttributes(this, 'Table', {
      tableArn,
      ...(tableStreamArn !== undefined && { tableStreamArn }),
      ...(encryptionKey && { encryptionKey }),
    }) as ITable & IResourceWithPolicy;
  }
}

function followLoad(table: Table, capacity: ProvisionedCapacity): void {
  const { minReadUnits, maxReadUnits, minWriteUnits, maxWriteUnits, targetUtilizationPercent = 70 } = capacity;
  table
    .autoScaleReadCapacity({ minCapacity: minReadUnits, maxCapacity: maxReadUnits })
    .scaleOnUtilization({ targetUtilizationPercent });
  table
    .autoScaleWriteCapacity({ minCapacity: minWriteUnits, maxCapacity: maxWriteUnits })
    .scaleOnUtilization({ targetUtilizationPercent });
}

function keyOf(definition: ReturnType<typeof tableDefinition>, keyType: 'HASH' | 'RANGE') {
  const name = definition.KeySchema.find((key) => key.KeyType === keyType)?.AttributeName;
  const attribute = definition.AttributeDefinitions.find((candidate) => candidate.AttributeName === name);
  if (attribute === undefined) throw new Error(`Expected the table definition to define its ${keyType} key`);
  // DynamoDB's letters are the values of CDK's enum.
  return { name: attribute.AttributeName, type: attribute.AttributeType as AttributeType };
}
