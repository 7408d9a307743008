import { describe, expect, it } from 'vitest';
import { BODIES } from '../../lib/http/schemas.js';
import { onlyResource, resourcesOf, stackTemplate } from './stack-template.js';

const template = stackTemplate();

describe('the API', () => {
  it('has each body that must come checked against its schema before the function runs, whatever its media type', () => {
    const models = template.findResources('AWS::ApiGateway::Model');
    const checked = resourcesOf(template, 'AWS::ApiGateway::Method')
      .filter(({ Properties }) => Properties.RequestModels !== undefined)
      .map(({ Properties }) => {
        const { 'application/json': asJson, $default: otherwise } = Properties.RequestModels;
        expect(otherwise).toEqual(asJson);
        return [Properties.HttpMethod, models[asJson.Ref]?.Properties.Schema];
      });
    const { type, ...acquire } = BODIES.acquire;
    expect(checked).toContainEqual([
      'POST',
      { $schema: 'http://json-schema.org/draft-04/schema#', title: 'acquire', type, ...acquire },
    ]);
    // Acquire, adjust, release, and limits of six scopes.
    expect(checked).toHaveLength(9);
    expect(onlyResource(template, 'AWS::ApiGateway::RequestValidator').Properties).toMatchObject({
      ValidateRequestBody: true,
      ValidateRequestParameters: true,
    });
  });

  it('writes an access log that tells who asked what, and holds no key, header, query or body', () => {
    const { AccessLogSetting } = onlyResource(template, 'AWS::ApiGateway::Stage').Properties;
    const variables = [...AccessLogSetting.Format.matchAll(/\$context\.([\w.]+)/g)].map(([, name]) => String(name));
    expect(variables.sort()).toEqual([
      'authorizer.principalId',
      'authorizer.status',
      'httpMethod',
      'identity.sourceIp',
      'identity.userArn',
      'requestId',
      'requestTime',
      'resourcePath',
      'responseLatency',
      'responseLength',
      'status',
    ]);
  });

  it('stands behind a web ACL and has limits of its own where they are given', () => {
    const webAclArn = 'arn:aws:wafv2:eu-central-1:111122223333:regional/webacl/mine/1';
    const given = stackTemplate({ http: { webAclArn, throttle: { requestsPerSecond: 200, burst: 50 } } });
    expect(onlyResource(given, 'AWS::WAFv2::WebACLAssociation').Properties.WebACLArn).toBe(webAclArn);
    expect(onlyResource(given, 'AWS::ApiGateway::Stage').Properties.MethodSettings).toMatchObject([
      { ThrottlingRateLimit: 200, ThrottlingBurstLimit: 50 },
    ]);
    expect(resourcesOf(template, 'AWS::WAFv2::WebACLAssociation')).toEqual([]);
    expect(onlyResource(template, 'AWS::ApiGateway::Stage').Properties.MethodSettings).toBeUndefined();
  });
});
