import { Duration } from 'aws-cdk-lib';
import { type CfnAuthorizer, RequestAuthorizer } from 'aws-cdk-lib/aws-apigateway';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { functionOptions, HeadgateFunction, type HeadgateFunctionOptions } from './headgate-function.js';

export interface HeadgateAuthorizerProps extends HeadgateFunctionOptions {
  /** Signs the lease that the authorizer passes on. */
  readonly leaseKey: ISecret;
}

/**
 * A REQUEST authorizer that authenticates a caller and acquires what can be known without the body.
 * Attach it to any method of a REST API that also has `limitResponses`: without those a denial leaves as a bare 403.
 *
 * No result is cached: a cached Allow would let the following requests through uncounted. No identity source is required: API Gateway
 * would answer for a missing one itself, before the function could accept the key's other forms.
 */
export class HeadgateAuthorizer extends Construct {
  readonly function: HeadgateFunction;
  readonly authorizer: RequestAuthorizer;

  constructor(scope: Construct, id: string, props: HeadgateAuthorizerProps) {
    super(scope, id);
    this.function = new HeadgateFunction(this, 'Authorizer', {
      ...functionOptions(props),
      leaseKey: props.leaseKey,
      handler: 'authorizer',
      description: 'Headgate: authenticates LLM calls and admits or denies them',
      timeout: Duration.seconds(10),
      memorySizeMb: 1024,
    });
    props.table.grantAcquire(this.function.lambda, { namespace: props.namespace });
    this.authorizer = new RequestAuthorizer(this, 'RequestAuthorizer', {
      handler: this.function.lambda,
      identitySources: [],
      resultsCacheTtl: Duration.seconds(0),
    });
    // CDK writes an empty list as '', an identity source of no name.
    (this.authorizer.node.defaultChild as CfnAuthorizer).identitySource = undefined;
  }
}
