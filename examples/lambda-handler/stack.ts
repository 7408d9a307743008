/** The function, its API, and what it may do: `npx cdk deploy --app 'npx tsx examples/lambda-handler/stack.ts' -c issuer=https://… -c audience=…` */
import { fileURLToPath } from 'node:url';
import { App, Duration, Stack } from 'aws-cdk-lib';
import { HttpApi, HttpMethod } from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpJwtAuthorizer } from 'aws-cdk-lib/aws-apigatewayv2-authorizers';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Architecture, Runtime } from 'aws-cdk-lib/aws-lambda';
import { NodejsFunction } from 'aws-cdk-lib/aws-lambda-nodejs';
import { HeadgateTable } from 'headgate/cdk';

const stack = new Stack(new App(), 'Ask');
const context = (name: string, otherwise: string): string => stack.node.tryGetContext(name) ?? otherwise;

const ask = new NodejsFunction(stack, 'Handler', {
  entry: fileURLToPath(new URL('handler.ts', import.meta.url)),
  runtime: Runtime.NODEJS_24_X,
  architecture: Architecture.ARM_64,
  timeout: Duration.seconds(30),
  environment: { HEADGATE_TABLE: 'headgate' },
});

// The table is there already, made by HeadgateStack; or make it here: new HeadgateTable(stack, 'Limits').
const tableArn = stack.formatArn({ service: 'dynamodb', resource: 'table', resourceName: 'headgate' });
HeadgateTable.fromTableArn(stack, 'Limits', tableArn).grantAcquire(ask);
ask.addToRolePolicy(
  new PolicyStatement({
    actions: ['bedrock:InvokeModel'],
    resources: [`arn:${stack.partition}:bedrock:*::foundation-model/amazon.nova-lite-v1:0`],
  }),
);

new HttpApi(stack, 'Api').addRoutes({
  path: '/ask',
  methods: [HttpMethod.POST],
  integration: new HttpLambdaIntegration('Ask', ask),
  authorizer: new HttpJwtAuthorizer('Callers', context('issuer', 'https://issuer.example.com'), {
    jwtAudience: [context('audience', 'ask')],
  }),
});
