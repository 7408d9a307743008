import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Duration, RemovalPolicy } from 'aws-cdk-lib';
import { type IManagedPolicy, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import type { IKey } from 'aws-cdk-lib/aws-kms';
import { Architecture, Code, Function as LambdaFunction, Runtime, Tracing } from 'aws-cdk-lib/aws-lambda';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import type { IHeadgateTable } from './headgate-table.js';
import { DEFAULT_NAMESPACE } from './namespace.js';

/** The handlers, each a folder of the bundle directory with an `index.mjs` in it. */
export type HandlerName = 'aggregator' | 'api' | 'archive' | 'authorizer' | 'gateway' | 'manifest';

/** What every construct that owns a function asks of its user. */
export interface HeadgateFunctionOptions {
  readonly table: IHeadgateTable;

  /**
   * The tenant whose limits apply: 1 to 256 bytes without `#`.
   * @default 'default'
   */
  readonly namespace?: string;

  /**
   * How long a lease that travels over HTTP can be settled: 10 seconds to a day.
   * @default Duration.minutes(10)
   */
  readonly leaseLifetime?: Duration;

  /**
   * How long the functions' logs are kept.
   * @default RetentionDays.ONE_MONTH
   */
  readonly logRetention?: RetentionDays;

  /**
   * The key that the functions' logs are encrypted with.
   * @default - CloudWatch's own
   */
  readonly logEncryptionKey?: IKey;

  /**
   * Whether X-Ray traces the functions' calls.
   * @default false
   */
  readonly tracing?: boolean;

  /**
   * The most that the functions' roles may ever do, as some accounts demand of every role.
   * @default - none
   */
  readonly permissionsBoundary?: IManagedPolicy;

  /**
   * What the names of the functions' roles begin with, for accounts that allow only such; the handler's name follows. At most 40 of `A-Z a-z 0-9 + = , . @ _ -`.
   * @default - CloudFormation names them
   */
  readonly roleNamePrefix?: string;

  /**
   * The directory that holds `{handler}/index.mjs` for each handler.
   * @default - the bundles that come with this package
   */
  readonly bundleDirectory?: string;
}

/** The options alone, for the function that a construct makes. */
export function functionOptions(options: HeadgateFunctionOptions): HeadgateFunctionOptions {
  const {
    table,
    namespace,
    leaseLifetime,
    logRetention,
    logEncryptionKey,
    tracing,
    permissionsBoundary,
    roleNamePrefix,
    bundleDirectory,
  } = options;
  return {
    table,
    namespace,
    leaseLifetime,
    logRetention,
    logEncryptionKey,
    tracing,
    permissionsBoundary,
    roleNamePrefix,
    bundleDirectory,
  };
}

/**
 * What becomes of a known caller's call while the table gives no answer: refused with 503, let through uncounted, or held to a share of its limits
 * in the process (0.1 unless given).
 */
export type WhenUnavailable = 'deny' | 'allow' | 'local' | { readonly local: { readonly share: number } };

/** As functions read it in HEADGATE_ON_UNAVAILABLE. */
export const whenUnavailableText = (policy: WhenUnavailable | undefined): string | undefined =>
  typeof policy === 'object' ? `local:${policy.local.share}` : policy;

export interface HeadgateFunctionProps extends HeadgateFunctionOptions {
  readonly handler: HandlerName;
  readonly description: string;
  readonly timeout: Duration;
  readonly memorySizeMb: number;

  /**
   * The secret that signs leases; the function may read it and finds its id in HEADGATE_LEASE_KEY_SECRET.
   * @default - the function deals with no leases
   */
  readonly leaseKey?: ISecret | undefined;

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
    const { roleNamePrefix: prefix, permissionsBoundary: boundary } = props;
    if (prefix !== undefined && !/^[\w+=,.@-]{1,40}$/.test(prefix))
      throw new Error(`Expected roleNamePrefix to be 1 to 40 of A-Z a-z 0-9 + = , . @ _ -, got '${prefix}'`);
    const logGroup = new LogGroup(this, 'Logs', {
      ...(props.logEncryptionKey && { encryptionKey: props.logEncryptionKey }),
      retention: props.logRetention ?? RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    const role = new Role(this, 'Role', {
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
      ...(prefix !== undefined && { roleName: `${prefix}${props.handler}` }),
      ...(boundary && { permissionsBoundary: boundary }),
    });
    logGroup.grantWrite(role);
    this.lambda = new LambdaFunction(this, 'Function', {
      description: props.description,
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      handler: 'index.handler',
      code: Code.fromAsset(bundleOf(props.handler, props.bundleDirectory ?? defaultBundleDirectory(import.meta.url))),
      timeout: props.timeout,
      memorySize: props.memorySizeMb,
      tracing: props.tracing ? Tracing.ACTIVE : Tracing.DISABLED,
      role,
      logGroup,
      environment: {
        ...props.environment,
        HEADGATE_TABLE: props.table.table.tableName,
        HEADGATE_NAMESPACE: props.namespace ?? DEFAULT_NAMESPACE,
        ...(props.leaseKey && { HEADGATE_LEASE_KEY_SECRET: props.leaseKey.secretArn }),
        ...(props.leaseKey && props.leaseLifetime && { HEADGATE_LEASE_SECONDS: String(props.leaseLifetime.toSeconds()) }),
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
