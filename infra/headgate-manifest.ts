import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CfnOutput, CustomResource, Duration, FileSystem } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Asset } from 'aws-cdk-lib/aws-s3-assets';
import { Construct } from 'constructs';
import { openManifest } from '../lib/manifest/open-manifest.js';
import { problemText } from '../lib/manifest/problem.js';
import { manifestJson } from '../lib/manifest/write-manifest.js';
import { functionOptions, HeadgateFunction, type HeadgateFunctionOptions } from './headgate-function.js';
import { DEFAULT_NAMESPACE } from './namespace.js';

export interface HeadgateManifestProps extends HeadgateFunctionOptions {
  /** The manifest's path, relative to the working directory. The files and presets that it extends are read with it. */
  readonly file: string;

  /**
   * Whether to remove what manifests manage in the namespace and this one no longer names; entities with their keys.
   * @default false
   */
  readonly prune?: boolean;

  /**
   * What becomes of what is stored when the construct or its stack is deleted: all stays, or all goes that manifests manage in the namespace, entities
   * with their keys.
   * @default 'keep'
   */
  readonly onDelete?: 'keep' | 'remove';
}

/** The most that a property holds, in bytes: an update's event carries two of them. What is longer is read from S3. */
const LONGEST_PROPERTY = 16_384;

/**
 * A manifest that is applied with the deployment: planned against what is stored, then applied as planned, when it or one of the props differs from
 * what was deployed last. Where that fails, the deployment fails, and its rollback applies the former manifest again.
 *
 * Throws when the manifest has problems, each with its file, line and column, and when it names another namespace than `namespace`.
 */
export class HeadgateManifest extends Construct {
  readonly function: HeadgateFunction;
  /** What the last apply did: `Revision 7: 2 created, 1 changed, 0 removed, 0 adopted, 27 unchanged, 0 kept.` Known when deployed. */
  readonly summary: string;

  constructor(scope: Construct, id: string, props: HeadgateManifestProps) {
    super(scope, id);
    const { json, namespace } = manifestOf(props);
    this.function = new HeadgateFunction(this, 'Applier', {
      ...functionOptions({ ...props, namespace }),
      handler: 'manifest',
      description: 'Headgate: applies the manifest of a deployment',
      timeout: Duration.minutes(15),
      memorySizeMb: 512,
    });
    props.table.grantAdmin(this.function.lambda, { namespace });
    const resource = new CustomResource(this, 'Resource', {
      resourceType: 'Custom::HeadgateManifest',
      serviceToken: this.function.lambda.functionArn,
      // The function answers within its own time, or is called once more by Lambda.
      serviceTimeout: Duration.minutes(20),
      properties: {
        Table: props.table.table.tableName,
        Namespace: namespace,
        Prune: String(props.prune ?? false),
        OnDelete: props.onDelete ?? 'keep',
        ...this.packed(json),
      },
    });
    this.summary = resource.getAttString('summary');
    new CfnOutput(this, 'Summary', { value: this.summary, description: 'What applying the manifest did' });
  }

  private packed(json: string): Record<string, string> {
    if (json.length <= LONGEST_PROPERTY) return { Manifest: json };
    const path = join(FileSystem.mkdtemp('headgate-manifest-'), 'manifest.json');
    writeFileSync(path, json);
    const asset = new Asset(this, 'File', { path });
    this.function.lambda.addToRolePolicy(
      new PolicyStatement({ actions: ['s3:GetObject'], resources: [asset.bucket.arnForObjects(asset.s3ObjectKey)] }),
    );
    return { Bucket: asset.s3BucketName, Key: asset.s3ObjectKey };
  }
}

/** The manifest with all that it extends, as JSON in ASCII: what a template holds beyond that does not reach a custom resource as it was. */
function manifestOf({ file, namespace: given }: HeadgateManifestProps): { readonly json: string; readonly namespace: string } {
  const read = openManifest(file);
  if ('problems' in read) throw new Error(`The manifest has problems:\n${read.problems.map(problemText).join('\n')}`);
  const { namespace: named } = read.manifest;
  if (named !== undefined && given !== undefined && named !== given)
    throw new Error(`Expected ${file} to name the namespace '${given}' or none, got '${named}'`);
  const json = JSON.stringify(manifestJson(read.manifest)).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return { json, namespace: named ?? given ?? DEFAULT_NAMESPACE };
}
