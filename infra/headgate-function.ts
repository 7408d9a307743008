import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Duration, RemovalPolicy } from 'aws-cdk-lib';
import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Architecture, Code, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import type { IHeadgateTable } from './headgate-table.js';
import { DEFAULT_NAMESPACE } from './namespace.js';

/** The handlers, each a folder of the bundle directory with an `index.mjs` in it. */
export type HandlerName = 'aggregator' | 'api' | 'authorizer' | 'gateway';

/** What every construct that owns a function asks of its user. */
export interface HeadgateFunctionOptions {
  readonly table: IHeadgateTable;

  /**
   * The tenant whose limits apply: 1 to 256 bytes without `#`.
   * @default 'default'
   */
  readonly namespace?: string;

  /**
   * How long the functions' logs are kept.
   * @default RetentionDays.ONE_MONTH
   */
  readonly logRetention?: RetentionDays;

  /**
   * The directory that holds `{handler}/index.mjs` for each handler.
   * @default - the bundles that come with this package
   */
  readonly bundleDirectory?: string;
}

export interface HeadgateFunctionProps extends HeadgateFunctionOptions {
  readonly handler: HandlerName;
  readonly description: string;
  readonly timeout: Duration;
  readonly memorySizeMb: number;

  /**
   * The secret that signs leases; the function may read it and finds its id in HEADGATE_LEASE_KEY_SECRET.
   * @default - the function deals with no leases
   */
  readonly leaseKey?: ISecret;

  /**
   * Variables beside those that every handler gets.
   * @default - none
   */
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * One of Headgate's handlers as a Lambda function, from a prebuilt bundle, so that no deployment needs a bundler.
 * Its role may write to its own log group and read its lease key, nothing else: whoever makes the function grants the rest.
 * Throws when the bundle is missing.
 */
export class HeadgateFunction extends Construct {
  readonly lambda: LambdaFunction;

  constructor(scope: Construct, id: string, props: HeadgateFunctionProps) {
    super(scope, id);
    const logGroup = new LogGroup(this, 'Logs', {
      retention: props.logRetention ?? RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new Role(this, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    logGroup.grantWrite(role);
    this.lambda = new LambdaFunction(this, 'Function', {
      description: props.description,
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      handler: 'index.handler',
      code: Code.fromAsset(bundleOf(props.handler, props.bundleDirectory ?? defaultBundleDirectory(import.meta.url))),
      timeout: props.timeout,
      memorySize: props.memorySizeMb,
      role,
      logGroup,
      environment: {
        ...props.environment,
        HEADGATE_TABLE: props.table.table.tableName,
        HEADGATE_NAMESPACE: props.namespace ?? DEFAULT_NAMESPACE,
        ...(props.leaseKey && { HEADGATE_LEASE_KEY_SECRET: props.leaseKey.secretArn }),
      },
    });
    props.leaseKey?.grantRead(this.lambda);
  }
}

/**
 * Where the build puts the bundles, seen from a module of this folder:
 *
 *     infra/x.ts         run from source     -> dist/bundles
 *     dist/infra/x.js    compiled            -> dist/bundles
 */
export function defaultBundleDirectory(moduleUrl: string): string {
  return fileURLToPath(new URL(moduleUrl.endsWith('.ts') ? '../dist/bundles' : '../bundles', moduleUrl));
}

function bundleOf(handler: HandlerName, bundleDirectory: string): string {
  const directory = join(bundleDirectory, handler);
  const entry = join(directory, 'index.mjs');
  if (!existsSync(entry)) throw new Error(`Expected the bundle ${entry}, found none: run \`npm run build\` first`);
  return directory;
}
