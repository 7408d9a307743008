import { RemovalPolicy } from 'aws-cdk-lib';
import type { Node } from 'constructs';
import type { HeadgateStackProps } from './headgate-stack.js';

/**
 * The stack's props as the CDK context gives them, from `cdk.json` or `cdk synth -c key=value`; a key that is absent keeps its default.
 *
 *     namespace        the tenant whose limits apply                     default
 *     tableName        the table's name                                  headgate
 *     removalPolicy    retain | destroy: the table when the stack goes   retain
 *     monitoring       on | off: alarms and a dashboard                  on
 *
 * Throws when a value is not one of these.
 */
export function stackPropsFromContext(
  node: Node,
): Pick<HeadgateStackProps, 'monitoring' | 'namespace' | 'removalPolicy' | 'tableName'> {
  return {
    namespace: text(node, 'namespace'),
    tableName: text(node, 'tableName'),
    removalPolicy: removalPolicy(text(node, 'removalPolicy')),
    monitoring: monitoring(text(node, 'monitoring')),
  };
}

function text(node: Node, key: string): string | undefined {
  const value: unknown = node.tryGetContext(key);
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string' || value === '') {
    throw new Error(`Expected the context key ${key} to be a string that is not empty, got ${JSON.stringify(value)}`);
  }
  return value;
}

function monitoring(value: string | undefined): false | undefined {
  if (value === undefined || value === 'on') return undefined;
  if (value === 'off') return false;
  throw new Error(`Expected the context key monitoring to be on or off, got ${value}`);
}

function removalPolicy(value: string | undefined): RemovalPolicy | undefined {
  switch (value) {
    case undefined:
      return undefined;
    case 'retain':
      return RemovalPolicy.RETAIN;
    case 'destroy':
      return RemovalPolicy.DESTROY;
    default:
      throw new Error(`Expected the context key removalPolicy to be retain or destroy, got ${value}`);
  }
}
