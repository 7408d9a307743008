import type { Template } from 'aws-cdk-lib/assertions';
import { describe, expect, it } from 'vitest';
import { onlyResource, type Resource, resourcesOf, stackTemplate } from './stack-template.js';

const template = stackTemplate();

/** Method and full path of every method, e.g. `POST /v1/acquire`. */
function routesOf(from: Template): Record<string, Resource['Properties']> {
  const resources = from.findResources('AWS::ApiGateway::Resource');
  const pathOf = (reference: { Ref?: string }): string => {
    const resource = reference.Ref === undefined ? undefined : resources[reference.Ref];
    return resource === undefined ? '' : `${pathOf(resource.Properties.ParentId)}/${resource.Properties.PathPart}`;
  };
  return Object.fromEntries(
    resourcesOf(from, 'AWS::ApiGateway::Method').map(({ Properties }) => [
      `${Properties.HttpMethod} ${pathOf(Properties.ResourceId)}`,
      Properties,
    ]),
  );
}

const routes = routesOf(template);
const gateway = routes['ANY /llm/{provider}/{path+}']!;
const uriOf = (method: Resource['Properties']) => JSON.stringify(method.Integration.Uri);

describe('the routes', () => {
  it('are these and no others', () => {
    const administration = Object.keys(routes).filter(
      (route) => !/ \/(llm|v1\/(acquire|adjust|release|status|usage))/.test(route),
    );
    expect(
      Object.keys(routes)
        .filter((route) => !administration.includes(route))
        .sort(),
    ).toEqual([
      'ANY /llm/{provider}/{path+}',
      'GET /v1/status/{entity}/{resource}',
      'GET /v1/usage/{entity}',
      'POST /v1/acquire',
      'POST /v1/adjust',
      'POST /v1/release',
    ]);
    expect(administration.sort()).toEqual([
      'DELETE /v1/entities/{entity}',
      'DELETE /v1/keys/{entity}/{keyId}',
      'DELETE /v1/limits/entities/{entity}',
      'DELETE /v1/limits/entities/{entity}/{resource}',
      'DELETE /v1/limits/resources/{resource}',
      'DELETE /v1/limits/system',
      'DELETE /v1/limits/tiers/{tier}',
      'DELETE /v1/limits/tiers/{tier}/{resource}',
      'GET /v1/audit',
      'GET /v1/entities',
      'GET /v1/entities/{entity}',
      'GET /v1/entities/{entity}/children',
      'GET /v1/explain/{entity}/{resource}',
      'GET /v1/keys/{entity}',
      'GET /v1/limits/entities/{entity}',
      'GET /v1/limits/entities/{entity}/{resource}',
      'GET /v1/limits/resources/{resource}',
      'GET /v1/limits/system',
      'GET /v1/limits/tiers/{tier}',
      'GET /v1/limits/tiers/{tier}/{resource}',
      'POST /v1/keys/{entity}',
      'PUT /v1/entities/{entity}',
      'PUT /v1/limits/entities/{entity}',
      'PUT /v1/limits/entities/{entity}/{resource}',
      'PUT /v1/limits/resources/{resource}',
      'PUT /v1/limits/system',
      'PUT /v1/limits/tiers/{tier}',
      'PUT /v1/limits/tiers/{tier}/{resource}',
    ]);
  });

  it('are all closed to callers who are not authorised, OPTIONS excepted', () => {
    const open = Object.entries(routes).filter(
      ([route, method]) =>
        !route.startsWith('OPTIONS ') &&
        method.AuthorizationType !== 'AWS_IAM' &&
        !(method.AuthorizationType === 'CUSTOM' && method.AuthorizerId?.Ref),
    );
    expect(open).toEqual([]);
  });

  it.each(Object.keys(routes).filter((route) => route.includes('/v1/')))('reach the api function, signed by IAM: %s', (route) => {
    const method = routes[route]!;
    expect([method.AuthorizationType, method.Integration.Type]).toEqual(['AWS_IAM', 'AWS_PROXY']);
    expect(uriOf(method)).toMatch(/HttpApiFunction\w+","Arn"\]\},"\/invocations"/);
  });

  it('are served from the region of the stack', () => {
    expect(onlyResource(template, 'AWS::ApiGateway::RestApi').Properties.EndpointConfiguration).toEqual({ Types: ['REGIONAL'] });
  });
});

describe('the gateway route', () => {
  it('asks the authorizer', () => {
    const [authorizerId] = Object.keys(template.findResources('AWS::ApiGateway::Authorizer'));
    expect([gateway.AuthorizationType, gateway.AuthorizerId]).toEqual(['CUSTOM', { Ref: authorizerId }]);
  });

  it('streams the function’s answer for up to fifteen minutes', () => {
    expect(gateway.Integration).toMatchObject({ Type: 'AWS_PROXY', ResponseTransferMode: 'STREAM', TimeoutInMillis: 900_000 });
    expect(uriOf(gateway)).toMatch(/LlmGatewayFunction\w+","Arn"\]\},"\/response-streaming-invocations"\]\]\}$/);
  });
});

describe('the authorizer', () => {
  const authorizer = onlyResource(template, 'AWS::ApiGateway::Authorizer').Properties;

  it('sees the whole request', () => {
    expect(authorizer.Type).toBe('REQUEST');
  });

  it('is asked for every request, because no answer is cached', () => {
    expect(authorizer.AuthorizerResultTtlInSeconds).toBe(0);
  });

  it('is asked even when the request carries no key', () => {
    expect(authorizer).not.toHaveProperty('IdentitySource');
  });
});

describe('the gateway responses', () => {
  const responseOf = (type: string) =>
    resourcesOf(template, 'AWS::ApiGateway::GatewayResponse').find(({ Properties }) => Properties.ResponseType === type)
      ?.Properties;

  it('turn a denial into 429 with its headers looked up in the authorizer’s context, not sent as literals', () => {
    expect(responseOf('ACCESS_DENIED')).toMatchObject({
      StatusCode: '429',
      ResponseParameters: {
        'gatewayresponse.header.Retry-After': 'context.authorizer.retryAfter',
        'gatewayresponse.header.RateLimit': 'context.authorizer.rateLimit',
        'gatewayresponse.header.RateLimit-Policy': 'context.authorizer.rateLimitPolicy',
        'gatewayresponse.header.Content-Type': "'application/problem+json'",
      },
    });
  });

  it('send the authorizer’s problem document as it is', () => {
    const problem = '{"code":"RateLimitExceeded","detail":"a \\"quoted\\" word"}';
    const body = responseOf('ACCESS_DENIED')?.ResponseTemplates['application/json'].replace(
      '$context.authorizer.problem',
      () => problem,
    );
    expect(JSON.parse(body)).toEqual({ code: 'RateLimitExceeded', detail: 'a "quoted" word' });
  });

  it('turn a missing key into 401 that names the scheme and is valid JSON', () => {
    const response = responseOf('UNAUTHORIZED');
    expect(response).toMatchObject({
      StatusCode: '401',
      ResponseParameters: {
        'gatewayresponse.header.WWW-Authenticate': "'Bearer'",
        'gatewayresponse.header.Content-Type': "'application/problem+json'",
      },
    });
    expect(JSON.parse(response?.ResponseTemplates['application/json'])).toMatchObject({
      status: 401,
      code: 'Unauthorized',
      error: { message: 'The request carries no valid Headgate key or token.', code: 'Unauthorized' },
    });
  });

  it('are part of the deployment that serves the routes', () => {
    const deployment = Object.values(template.findResources('AWS::ApiGateway::Deployment'))[0] as { DependsOn: string[] };
    expect(deployment.DependsOn).toEqual(
      expect.arrayContaining(Object.keys(template.findResources('AWS::ApiGateway::GatewayResponse'))),
    );
  });
});
