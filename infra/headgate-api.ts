import { Duration } from 'aws-cdk-lib';
import { AuthorizationType, EndpointType, LambdaIntegration, RestApi } from 'aws-cdk-lib/aws-apigateway';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { API_ROUTES } from '../lib/http/routes.js';
import { functionOptions, HeadgateFunction, type HeadgateFunctionOptions } from './headgate-function.js';
import { limitResponses } from './limit-responses.js';

export interface HeadgateApiProps extends HeadgateFunctionOptions {
  /** Signs the leases that `/v1/acquire` hands out and the other routes take back. */
  readonly leaseKey: ISecret;
}

/**
 * Headgate over HTTP: a regional REST API whose routes need a signature by an IAM principal with `execute-api:Invoke`.
 * IAM is also the default of every method added later, so that a forgotten authorizer closes a route and never opens it.
 */
export class HeadgateApi extends Construct {
  readonly function: HeadgateFunction;
  readonly restApi: RestApi;

  constructor(scope: Construct, id: string, props: HeadgateApiProps) {
    super(scope, id);
    this.function = new HeadgateFunction(this, 'Api', {
      ...functionOptions(props),
      leaseKey: props.leaseKey,
      handler: 'api',
      description: 'Headgate: acquire, adjust, release, status, usage and administration over HTTP',
      timeout: Duration.seconds(10),
      memorySizeMb: 512,
    });
    props.table.grantAdmin(this.function.lambda, { namespace: props.namespace });
    this.restApi = new RestApi(this, 'RestApi', {
      restApiName: 'headgate',
      description: 'Headgate: rate limits for LLM traffic',
      endpointConfiguration: { types: [EndpointType.REGIONAL] },
      cloudWatchRole: false,
      defaultMethodOptions: { authorizationType: AuthorizationType.IAM },
    });
    const integration = new LambdaIntegration(this.function.lambda, { proxy: true, allowTestInvoke: false });
    for (const route of API_ROUTES) {
      const [method = '', path = ''] = route.split(' ');
      this.restApi.root.resourceForPath(path).addMethod(method, integration);
    }
    limitResponses(this.restApi);
  }
}
