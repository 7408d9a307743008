import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { HeadgateStack, type HeadgateStackProps } from '../../infra/index.js';

/** One resource of a template, as CloudFormation reads it. */
export interface Resource {
  readonly Type: string;
  // biome-ignore lint/suspicious/noExplicitAny: every type of resource has its own shape; the assertions say what they expect of it.
  readonly Properties: Record<string, any>;
  readonly DeletionPolicy?: string;
}

/** Calls `use` with a directory of stand-in bundles, for a template needs no build, and removes it afterwards. */
export function withBundles<T>(use: (bundleDirectory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'headgate-bundles-'));
  try {
    for (const handler of ['authorizer', 'api', 'gateway', 'aggregator', 'archive', 'manifest']) {
      mkdirSync(join(directory, handler));
      writeFileSync(join(directory, handler, 'index.mjs'), `export const handler = () => '${handler}';`);
    }
    return use(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

export function stackTemplate(props: HeadgateStackProps = {}): Template {
  return withBundles((bundleDirectory) =>
    Template.fromStack(new HeadgateStack(new App(), 'Headgate', { bundleDirectory, ...props })),
  );
}

export function resourcesOf(template: Template, type: string): Resource[] {
  return Object.values(template.findResources(type)) as Resource[];
}

/** The only resource of the type; throws when there is none or another. */
export function onlyResource(template: Template, type: string): Resource {
  const [first, ...others] = resourcesOf(template, type);
  if (first === undefined || others.length > 0)
    throw new Error(`Expected exactly one ${type}, got ${others.length + (first ? 1 : 0)}`);
  return first;
}

/** The function that runs the handler, found by the construct that owns it. */
export function functionOf(template: Template, handler: 'aggregator' | 'api' | 'authorizer' | 'gateway'): Resource {
  const logicalId = { aggregator: /^UsageAggregator/, api: /^HttpApi/, authorizer: /^AccessAuthorizer/, gateway: /^LlmGateway/ }[
    handler
  ];
  const found = Object.entries(template.findResources('AWS::Lambda::Function')).filter(([id]) => logicalId.test(id));
  if (found.length !== 1) throw new Error(`Expected one function for ${handler}, got ${found.length}`);
  return found[0]![1] as Resource;
}

/** One statement of an identity policy, with `Action` and `Resource` always as lists. */
export interface Statement {
  readonly Effect: string;
  readonly Action: readonly string[];
  readonly Resource: readonly unknown[];
  readonly Condition?: Record<string, Record<string, string | string[]>>;
}

/** The statements of all identity policies attached to the handler's role. */
export function statementsOf(template: Template, handler: Parameters<typeof functionOf>[1]): Statement[] {
  const role = functionOf(template, handler).Properties.Role['Fn::GetAtt'][0];
  return resourcesOf(template, 'AWS::IAM::Policy')
    .filter((policy) => policy.Properties.Roles.some((attached: { Ref: string }) => attached.Ref === role))
    .flatMap((policy) => policy.Properties.PolicyDocument.Statement)
    .map((statement) => ({ ...statement, Action: [statement.Action].flat(), Resource: [statement.Resource].flat() }));
}
