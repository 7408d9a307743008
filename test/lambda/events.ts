import type { APIGatewayProxyEvent, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';

/** What a test says of a request; the rest is as API Gateway recorded it. */
export interface Request {
  readonly method?: string;
  /** The route's template, such as `/v1/usage/{entity}`. */
  readonly resource?: string;
  /** As the client wrote it, percent-encoded. */
  readonly path?: string;
  readonly pathParameters?: Record<string, string> | null;
  /** A list: the header was sent several times. null: API Gateway recorded none at all. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>> | null;
  readonly query?: Readonly<Record<string, string | readonly string[]>> | null;
  readonly body?: string | null;
  readonly isBase64Encoded?: boolean;
  /** What the authorizer put into the context; null: there was none. */
  readonly authorizer?: Record<string, string> | null;
  /** Of whoever signed the request; null: nobody did. */
  readonly userArn?: string | null;
}

/** What API Gateway adds to the headers of any client. */
const EDGE_HEADERS = {
  Accept: '*/*',
  'CloudFront-Forwarded-Proto': 'https',
  'CloudFront-Is-Desktop-Viewer': 'true',
  'CloudFront-Viewer-Country': 'DE',
  Host: 'a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com',
  'User-Agent': 'OpenAI/JS 6.49.0',
  Via: '1.1 0123456789abcdef.cloudfront.net (CloudFront)',
  'X-Amz-Cf-Id': 'cDehVQoZnx43VYQb9j2-nvCh-9z396Uhbp027Y2JvkCPNLmGJHqlaA==',
  'X-Amzn-Trace-Id': 'Root=1-67c1a2b3-4d5e6f708192a3b4c5d6e7f8',
  'X-Forwarded-For': '203.0.113.7, 130.176.0.1',
  'X-Forwarded-Port': '443',
  'X-Forwarded-Proto': 'https',
};

/**
 * The event of a REST API's Lambda proxy integration, every field of it:
 * https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
 */
export function proxyEvent(request: Request = {}): APIGatewayProxyEvent {
  return {
    ...common(request),
    body: request.body ?? null,
    isBase64Encoded: request.isBase64Encoded ?? false,
    requestContext: requestContext(request),
  };
}

/** The event of a REQUEST authorizer: it has no body. */
export function authorizerEvent(request: Request = {}): APIGatewayRequestAuthorizerEvent {
  const { method, path } = filled(request);
  const { authorizer: _, ...context } = requestContext(request);
  return {
    type: 'REQUEST',
    methodArn: `arn:aws:execute-api:eu-central-1:123456789012:a1b2c3d4e5/prod/${method}${path}`,
    ...common(request),
    requestContext: context as APIGatewayRequestAuthorizerEvent['requestContext'],
  };
}

const filled = ({ method = 'GET', resource = '/', path = resource }: Request) => ({ method, resource, path });

function common(request: Request) {
  const { method, resource, path } = filled(request);
  const headers = request.headers === null ? null : lists({ ...EDGE_HEADERS, ...request.headers });
  const query = request.query == null ? null : lists(request.query);
  return {
    resource,
    path,
    httpMethod: method,
    // The types say that headers are never null; the console's test page and some clients' requests have none.
    headers: lastOf(headers) as Record<string, string>,
    multiValueHeaders: headers as Record<string, string[]>,
    queryStringParameters: lastOf(query),
    multiValueQueryStringParameters: query,
    pathParameters: request.pathParameters ?? null,
    stageVariables: null,
  };
}

function requestContext(request: Request): APIGatewayProxyEvent['requestContext'] {
  const { method, resource, path } = filled(request);
  return {
    accountId: '123456789012',
    apiId: 'a1b2c3d4e5',
    authorizer: request.authorizer ?? null,
    domainName: 'a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com',
    domainPrefix: 'a1b2c3d4e5',
    extendedRequestId: 'G1a2bEXAMPLEabc=',
    httpMethod: method,
    identity: {
      accessKey: null,
      accountId: null,
      apiKey: null,
      apiKeyId: null,
      caller: null,
      clientCert: null,
      cognitoAuthenticationProvider: null,
      cognitoAuthenticationType: null,
      cognitoIdentityId: null,
      cognitoIdentityPoolId: null,
      principalOrgId: null,
      sourceIp: '203.0.113.7',
      user: null,
      userAgent: 'OpenAI/JS 6.49.0',
      userArn: request.userArn ?? null,
    },
    path: `/prod${path}`,
    protocol: 'HTTP/1.1',
    requestId: '8f3b1c52-6f0e-4a0b-9b51-0a5d2a1c7e10',
    requestTime: '28/Feb/2026:12:34:56 +0000',
    requestTimeEpoch: 1_772_282_096_000,
    resourceId: 'ab1cde',
    resourcePath: resource,
    stage: 'prod',
  };
}

function lists(values: Readonly<Record<string, string | readonly string[]>>): Record<string, string[]> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, [value].flat() as string[]]));
}

/** API Gateway's single-valued maps hold the last of several values. */
function lastOf(values: Record<string, string[]> | null): Record<string, string> | null {
  return values && Object.fromEntries(Object.entries(values).map(([name, all]) => [name, all.at(-1) ?? '']));
}
