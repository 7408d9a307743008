import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import {
  AccessLogFormat,
  AuthorizationType,
  type DomainNameOptions,
  EndpointType,
  type JsonSchema,
  JsonSchemaVersion,
  LambdaIntegration,
  LogGroupLogDestination,
  Model,
  RequestValidator,
  ResponseType,
  RestApi,
} from 'aws-cdk-lib/aws-apigateway';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { CfnWebACLAssociation } from 'aws-cdk-lib/aws-wafv2';
import { Construct } from 'constructs';
import { ROUTE_CONTRACTS } from '../lib/http/route-contracts.js';
import { API_ROUTES } from '../lib/http/routes.js';
import { BODIES, type Schema } from '../lib/http/schemas.js';
import { functionOptions, HeadgateFunction, type HeadgateFunctionOptions } from './headgate-function.js';
import { limitResponses, PROBLEM_JSON } from './limit-responses.js';

/** What stands around the API. */
export interface ApiOptions {
  /**
   * The ARN of a regional web ACL of AWS WAF that stands in front of the API.
   * @default - none
   */
  readonly webAclArn?: string;

  /**
   * A domain of your own, with its certificate of this region. Its DNS record is yours to make.
   * @default - the address that API Gateway gives
   */
  readonly domainName?: DomainNameOptions;

  /**
   * Whether to make the role by which API Gateway writes the access logs, and set it for the account and region: without one no API can log. False where
   * the account has one already.
   * @default true
   */
  readonly cloudWatchRole?: boolean;

  /**
   * The most requests a second and at once, over all callers: API Gateway's own limits, against floods. Callers have theirs in Headgate.
   * @default - the account's: 10,000 a second, 5,000 at once
   */
  readonly throttle?: { readonly requestsPerSecond: number; readonly burst: number };
}

export interface HeadgateApiProps extends HeadgateFunctionOptions, ApiOptions {
  /** Signs the leases that `/v1/acquire` hands out and the other routes take back. */
  readonly leaseKey: ISecret;
}

/** What is written of each request: who and what, and never a key, a query, a header or a body. */
const ACCESS_LOG = AccessLogFormat.custom(
  JSON.stringify({
    time: '$context.requestTime',
    requestId: '$context.requestId',
    caller: '$context.identity.userArn',
    entity: '$context.authorizer.principalId',
    method: '$context.httpMethod',
    resource: '$context.resourcePath',
    status: '$context.status',
    authorizerStatus: '$context.authorizer.status',
    latencyMs: '$context.responseLatency',
    bytes: '$context.responseLength',
    sourceIp: '$context.identity.sourceIp',
  }),
);

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
    const accessLogs = new LogGroup(this, 'AccessLogs', {
      retention: props.logRetention ?? RetentionDays.ONE_MONTH,
      removalPolicy: RemovalPolicy.DESTROY,
      ...(props.logEncryptionKey && { encryptionKey: props.logEncryptionKey }),
    });
    this.restApi = new RestApi(this, 'RestApi', {
      restApiName: 'headgate',
      description: 'Headgate: rate limits for LLM traffic',
      endpointConfiguration: { types: [EndpointType.REGIONAL] },
      cloudWatchRole: props.cloudWatchRole ?? true,
      defaultMethodOptions: { authorizationType: AuthorizationType.IAM },
      deployOptions: {
        accessLogDestination: new LogGroupLogDestination(accessLogs),
        accessLogFormat: ACCESS_LOG,
        tracingEnabled: props.tracing ?? false,
        ...(props.throttle && {
          throttlingRateLimit: props.throttle.requestsPerSecond,
          throttlingBurstLimit: props.throttle.burst,
        }),
      },
      ...(props.domainName && { domainName: props.domainName }),
    });
    if (props.webAclArn !== undefined) {
      new CfnWebACLAssociation(this, 'WebAcl', {
        resourceArn: this.restApi.deploymentStage.stageArn,
        webAclArn: props.webAclArn,
      });
    }
    const integration = new LambdaIntegration(this.function.lambda, { proxy: true, allowTestInvoke: false });
    const requestValidator = new RequestValidator(this, 'Validator', {
      restApi: this.restApi,
      validateRequestBody: true,
      validateRequestParameters: true,
    });
    const models = new Map(Object.entries(BODIES).map(([name, schema]) => [name, this.#model(name, schema)]));
    for (const route of API_ROUTES) {
      const [method = '', path = ''] = route.split(' ');
      const { body, bodyOptional = false } = ROUTE_CONTRACTS[route];
      const model = body !== undefined && !bodyOptional ? models.get(body) : undefined;
      this.restApi.root.resourceForPath(path).addMethod(method, integration, {
        requestValidator,
        // Whatever it calls itself, a body is held to the model.
        ...(model && { requestModels: { 'application/json': model, $default: model } }),
      });
    }
    limitResponses(this.restApi);
    // What is wrong with a body, API Gateway's variables say in words that would break the JSON around them.
    this.restApi.addGatewayResponse('BadBody', {
      type: ResponseType.BAD_REQUEST_BODY,
      statusCode: '400',
      responseHeaders: { 'Content-Type': PROBLEM_JSON },
      templates: {
        'application/json': JSON.stringify({
          type: 'about:blank',
          title: 'Bad request',
          status: 400,
          code: 'InvalidArgument',
          field: 'body',
          detail: 'Expected a JSON body as the API’s description has it for this route: its fields, their types and ranges.',
        }),
      },
    });
    Validations.of(this).acknowledge(
      {
        id: 'AwsSolutions-COG4',
        reason: 'Callers are programs: IAM signs their requests, or the authorizer knows their Headgate keys and tokens.',
      },
      {
        id: 'AwsSolutions-APIG6',
        reason: 'Execution logs may hold headers and bodies, keys and prompts among them. Access logs tell who asked what.',
      },
      {
        id: 'AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs]',
        reason: 'The role by which API Gateway writes logs, as AWS defines it: it is the account’s, not a function’s.',
      },
      { id: 'AwsSolutions-APIG3', reason: 'A web ACL is the account’s own: it is associated by the prop webAclArn.' },
    );
  }

  /** A body as API Gateway checks it, before the function runs. */
  #model(name: string, schema: Schema): Model {
    return new Model(this, `Model-${name}`, {
      restApi: this.restApi,
      contentType: 'application/json',
      schema: { schema: JsonSchemaVersion.DRAFT4, title: name, ...schema } as JsonSchema,
    });
  }
}
