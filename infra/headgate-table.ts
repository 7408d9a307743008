import { RemovalPolicy } from 'aws-cdk-lib';
import { type AttributeType, BillingMode, StreamViewType, Table } from 'aws-cdk-lib/aws-dynamodb';
import { Grant, type IGrantable } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { TTL } from '../lib/store/schema.js';
import { tableDefinition } from '../lib/store/table-definition.js';

/** What a function may do with single items or one partition. There is no Scan: no listing of Headgate's needs one. */
export type ItemAction = 'BatchGetItem' | 'ConditionCheckItem' | 'DeleteItem' | 'GetItem' | 'PutItem' | 'Query' | 'UpdateItem';

export interface HeadgateTableProps {
  /**
   * The table's name, unique in the account and region.
   * @default 'headgate'
   */
  readonly tableName?: string;

  /**
   * What becomes of the table, and of every limit, debt and key in it, when the stack goes.
   * @default RemovalPolicy.RETAIN
   */
  readonly removalPolicy?: RemovalPolicy;

  /**
   * Whether DynamoDB refuses to delete the table.
   * @default true while the removal policy is RETAIN, else false (a protected table cannot be removed with its stack)
   */
  readonly deletionProtection?: boolean;
}

/**
 * Headgate's one table: keys, stream and billing from the SDK's `tableDefinition`, and what CreateTable cannot say: TTL, point-in-time
 * recovery, protection. Encrypted at rest with DynamoDB's own key, which costs no KMS call on the hot path.
 */
export class HeadgateTable extends Construct {
  readonly table: Table;

  constructor(scope: Construct, id: string, props: HeadgateTableProps = {}) {
    super(scope, id);
    const definition = tableDefinition(props.tableName ?? 'headgate');
    const removalPolicy = props.removalPolicy ?? RemovalPolicy.RETAIN;
    this.table = new Table(this, 'Table', {
      tableName: definition.TableName,
      partitionKey: keyOf(definition, 'HASH'),
      sortKey: keyOf(definition, 'RANGE'),
      billingMode: BillingMode[definition.BillingMode],
      stream: StreamViewType[definition.StreamSpecification.StreamViewType],
      timeToLiveAttribute: TTL,
      pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true },
      removalPolicy,
      deletionProtection: props.deletionProtection ?? removalPolicy === RemovalPolicy.RETAIN,
    });
  }

  /**
   * Allows the actions on the items whose partition key matches one of the patterns (StringLike), and on no others.
   * `ForAllValues`, because a batch or a transaction names several keys and each must match
   * (DynamoDB developer guide, "Using IAM policy conditions for fine-grained access control").
   */
  grantItems(grantee: IGrantable, leadingKeys: readonly string[], actions: readonly ItemAction[]): Grant {
    return Grant.addToPrincipal({
      grantee,
      actions: actions.map((action) => `dynamodb:${action}`),
      resourceArns: [this.table.tableArn],
      conditions: { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': [...leadingKeys] } },
    });
  }
}

function keyOf(definition: ReturnType<typeof tableDefinition>, keyType: 'HASH' | 'RANGE') {
  const name = definition.KeySchema.find((key) => key.KeyType === keyType)?.AttributeName;
  const attribute = definition.AttributeDefinitions.find((candidate) => candidate.AttributeName === name);
  if (attribute === undefined) throw new Error(`Expected the table definition to define its ${keyType} key`);
  // DynamoDB's letters are the values of CDK's enum.
  return { name: attribute.AttributeName, type: attribute.AttributeType as AttributeType };
}
