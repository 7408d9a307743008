import { App, Duration, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { AuthorizationType, type IAuthorizer, MockIntegration, RestApi } from 'aws-cdk-lib/aws-apigateway';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { describe, expect, it } from 'vitest';
import { HeadgateAuthorizer, type HeadgateAuthorizerProps, HeadgateTable } from '../../infra/index.js';
import { authorizerSettings } from '../../lambda/authorizer-settings.js';
import { onlyResource, type Resource, resourcesOf, stackTemplate, withBundles } from './stack-template.js';

/** An API that has nothing of Headgate's but the authorizer. */
function ownApi(props: Partial<HeadgateAuthorizerProps> = {}): Template {
  return withBundles((bundleDirectory) => {
    const stack = new Stack(new App(), 'Mine');
    const table = new HeadgateTable(stack, 'Storage');
    const access = new HeadgateAuthorizer(stack, 'Access', { table, bundleDirectory, ...props });
    const api = new RestApi(stack, 'Api', { cloudWatchRole: false });
    const authorizer: IAuthorizer = access.authorizer;
    api.root.addResource('search').addMethod('POST', new MockIntegration(), {
      authorizer,
      authorizationType: AuthorizationType.CUSTOM,
    });
    access.addResponses(api);
    access.addResponses(api);
    return Template.fromStack(stack);
  });
}

const environmentOf = (template: Template): Record<string, string> =>
  onlyResource(template, 'AWS::Lambda::Function').Properties.Environment.Variables;

describe('on an API of one’s own', () => {
  const template = ownApi();

  it('the method asks the authorizer, for every request', () => {
    const [authorizerId] = Object.keys(template.findResources('AWS::ApiGateway::Authorizer'));
    const methods = resourcesOf(template, 'AWS::ApiGateway::Method').map(({ Properties }) => [
      Properties.HttpMethod,
      Properties.AuthorizationType,
      Properties.AuthorizerId,
    ]);
    expect(methods).toEqual([['POST', 'CUSTOM', { Ref: authorizerId }]]);
    expect(onlyResource(template, 'AWS::ApiGateway::Authorizer').Properties).toMatchObject({
      Type: 'REQUEST',
      AuthorizerResultTtlInSeconds: 0,
    });
  });

  it('a refusal leaves as 429, 401 or 503, each set up once', () => {
    const responses = resourcesOf(template, 'AWS::ApiGateway::GatewayResponse').map(
      ({ Properties }) => `${Properties.ResponseType} ${Properties.StatusCode}`,
    );
    expect(responses.sort()).toEqual([
      'ACCESS_DENIED 429',
      'AUTHORIZER_CONFIGURATION_ERROR 503',
      'AUTHORIZER_FAILURE 503',
      'UNAUTHORIZED 401',
    ]);
  });

  it('what is refused is kept out by the authorizer, because the integration knows nothing of it', () => {
    expect(authorizerSettings(environmentOf(template))).toMatchObject({
      refusedBy: 'authorizer',
      signsLeases: false,
      believesClients: false,
    });
  });

  it('its role may write buckets and read configuration, of its namespace, and nothing else of the table', () => {
    const [tableId] = Object.keys(template.findResources('AWS::DynamoDB::Table'));
    expect(tableStatements(ownApi({ namespace: 'a*' }))).toEqual([
      {
        actions: ['dynamodb:UpdateItem', 'dynamodb:GetItem'],
        resource: { 'Fn::GetAtt': [tableId, 'Arn'] },
        keys: [escaped('b#*')],
      },
      {
        actions: ['dynamodb:BatchGetItem'],
        resource: { 'Fn::GetAtt': [tableId, 'Arn'] },
        keys: [escaped('config'), escaped('e#*')],
      },
      { actions: ['dynamodb:BatchGetItem'], resource: { 'Fn::GetAtt': [tableId, 'Arn'] }, keys: [escaped('key#*')] },
    ]);
  });

  it('its role may read keys, and nothing else of the table, where the integration acquires', () => {
    expect(tableStatements(ownApi({ namespace: 'a*', acquiredBy: 'integration' }))).toMatchObject([
      { actions: ['dynamodb:BatchGetItem'], keys: [escaped('key#*')] },
    ]);
  });
});

/** A partition of the namespace `a*` as a policy writes it: the asterisk is no wildcard there. */
const escaped = (partition: string): string => ['a$', '{*}#', partition].join('');

/** What the role may do with the table. */
function tableStatements(template: Template) {
  return resourcesOf(template, 'AWS::IAM::Policy')
    .flatMap(({ Properties }: Resource) => Properties.PolicyDocument.Statement)
    .map(({ Action, Resource: resource, Condition }) => ({
      actions: [Action].flat(),
      resource,
      keys: Condition?.['ForAllValues:StringLike']?.['dynamodb:LeadingKeys'],
    }))
    .filter(({ actions }) => actions.some((action: string) => action.startsWith('dynamodb:')))
    .map(({ keys, ...statement }) => ({ ...statement, keys: [keys].flat() }));
}

it('an API that another stack made is served too', () => {
  const template = withBundles((bundleDirectory) => {
    const stack = new Stack(new App(), 'Mine');
    const table = HeadgateTable.fromTableArn(stack, 'Storage', 'arn:aws:dynamodb:eu-west-1:123456789012:table/headgate');
    const access = new HeadgateAuthorizer(stack, 'Access', { table, bundleDirectory });
    const api = RestApi.fromRestApiAttributes(stack, 'Api', { restApiId: 'a1b2c3d4e5', rootResourceId: 'r0' });
    api.root.addMethod('POST', new MockIntegration(), { authorizer: access.authorizer });
    access.addResponses(api);
    return Template.fromStack(stack);
  });
  expect(onlyResource(template, 'AWS::ApiGateway::Method').Properties).toMatchObject({
    RestApiId: 'a1b2c3d4e5',
    AuthorizationType: 'CUSTOM',
  });
  const { RestApiId, Type } = onlyResource(template, 'AWS::ApiGateway::Authorizer').Properties;
  expect([RestApiId, Type]).toEqual(['a1b2c3d4e5', 'REQUEST']);
  expect(resourcesOf(template, 'AWS::ApiGateway::GatewayResponse')).toHaveLength(4);
});

describe('its settings', () => {
  it('reach the function as what it reads', () => {
    const template = ownApi({
      entity: 'key,claim:custom:tenant',
      tokens: {
        issuer: 'https://id.example.com',
        audiences: ['a', 'b'],
        jwksUrl: 'https://id.example.com/keys',
        algorithms: ['ES384'],
        clockTolerance: Duration.minutes(1),
      },
      keys: 'generated',
      unknownKeysPerSecond: 3,
      acquiredBy: 'integration',
      resource: 'claim:model',
      estimates: { o3: { outputTokens: 900 }, 'gpt-4o': 700 },
      believeClients: true,
      onUnavailable: { local: { share: 0.25 } },
      refusedBy: 'integration',
    });
    const environment = environmentOf(template);
    expect(authorizerSettings(environment)).toEqual({
      acquiredBy: 'integration',
      caller: {
        keys: { format: 'generated', unknownPerSecond: 3 },
        jwt: {
          issuer: 'https://id.example.com',
          audiences: ['a', 'b'],
          keysUrl: new URL('https://id.example.com/keys'),
          algorithms: ['ES384'],
          clockToleranceSeconds: 60,
          entityClaim: 'custom:tenant',
        },
        proxy: undefined,
      },
      resource: { from: 'claim', name: 'model' },
      estimates: new Map<string, unknown>([
        ['o3', { outputTokens: 900 }],
        ['gpt-4o', 700],
      ]),
      believesClients: true,
      refusedBy: 'integration',
      signsLeases: false,
    });
    expect(environment.HEADGATE_ON_UNAVAILABLE).toBe('local:0.25');
  });

  it('of a proxy reach the function as what it reads', () => {
    const environment = environmentOf(ownApi({ entity: 'header:x-tenant', proxySecretSha256: 'ab'.repeat(32) }));
    expect(authorizerSettings(environment).caller).toEqual({
      keys: undefined,
      jwt: undefined,
      proxy: { entityHeader: 'x-tenant', secretSha256: Buffer.alloc(32, 0xab) },
    });
  });

  it('may name what is known only at deployment, such as the issuer', () => {
    const stack = new Stack();
    const { HEADGATE_JWT_ISSUER, HEADGATE_JWT_AUDIENCE } = environmentOf(
      ownApi({ tokens: { issuer: `https://id.${stack.urlSuffix}/pool`, audiences: [stack.region, 'us'] } }),
    );
    expect([HEADGATE_JWT_ISSUER, HEADGATE_JWT_AUDIENCE]).toEqual([
      { 'Fn::Join': ['', ['https://id.', { Ref: 'AWS::URLSuffix' }, '/pool']] },
      { 'Fn::Join': ['', [{ Ref: 'AWS::Region' }, ',us']] },
    ]);
  });

  it('give a function a lease key only where leases are passed on', () => {
    withBundles((bundleDirectory) => {
      const stack = new Stack(new App(), 'Mine');
      const table = new HeadgateTable(stack, 'Storage');
      const leaseKey = new Secret(stack, 'Key');
      const access = new HeadgateAuthorizer(stack, 'Access', { table, bundleDirectory, leaseKey });
      const api = new RestApi(stack, 'Api', { cloudWatchRole: false });
      api.root.addMethod('GET', new MockIntegration(), { authorizer: access.authorizer });
      expect(environmentOf(Template.fromStack(stack))).toHaveProperty('HEADGATE_LEASE_KEY_SECRET');
    });
    expect(environmentOf(ownApi())).not.toHaveProperty('HEADGATE_LEASE_KEY_SECRET');
  });
});

it('in Headgate’s own stack the gateway acquires and answers what is refused, and callers are told as the stack is told', () => {
  const access = { tokens: { issuer: 'https://id.example.com', audiences: ['us'] } };
  const functions = resourcesOf(stackTemplate({ access }), 'AWS::Lambda::Function').filter(
    ({ Properties }) => Properties.Environment?.Variables?.HEADGATE_REFUSED_BY,
  );
  expect(functions.map(({ Properties }) => authorizerSettings(Properties.Environment.Variables))).toMatchObject([
    {
      acquiredBy: 'integration',
      refusedBy: 'integration',
      signsLeases: false,
      caller: { jwt: { issuer: 'https://id.example.com' } },
    },
  ]);
});
