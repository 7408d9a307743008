import type { IncomingMessage } from 'node:http';
import type { APIGatewayProxyEvent, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';

/** A request that matched a route, before it is an event. */
export interface MatchedRequest {
  readonly request: IncomingMessage;
  readonly requestId: string;
  /** The route's path, such as `/v1/usage/{entity}`. */
  readonly resource: string;
  /** As the client wrote it: percent-encoded. REST APIs hand path and parameters on so. */
  readonly path: string;
  readonly pathParameters: Readonly<Record<string, string>> | null;
  readonly query: URLSearchParams;
  readonly body: Buffer;
}

export const METHOD_ARN = 'arn:aws:execute-api:us-east-1:000000000000:local/local';

/** The event of a REST API's Lambda proxy integration. https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html */
export function proxyEvent(matched: MatchedRequest, authorizer: Record<string, string> | undefined): APIGatewayProxyEvent {
  const text = utf8(matched.body);
  return {
    ...common(matched),
    body: matched.body.length === 0 ? null : (text ?? matched.body.toString('base64')),
    isBase64Encoded: text === undefined,
    requestContext: requestContext(matched, authorizer ?? null) as unknown as APIGatewayProxyEvent['requestContext'],
  };
}

/** The event of a REQUEST authorizer: everything but the body. */
export function authorizerEvent(matched: MatchedRequest): APIGatewayRequestAuthorizerEvent {
  return {
    type: 'REQUEST',
    methodArn: `${METHOD_ARN}/${matched.request.method}${matched.path}`,
    ...common(matched),
    requestContext: requestContext(matched, undefined) as unknown as APIGatewayRequestAuthorizerEvent['requestContext'],
  } as APIGatewayRequestAuthorizerEvent;
}

function common({ request, resource, path, pathParameters, query }: MatchedRequest) {
  const multiValueHeaders: Record<string, string[]> = {};
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    const [name, value] = [request.rawHeaders[index] ?? '', request.rawHeaders[index + 1] ?? ''];
    multiValueHeaders[name] = [...(multiValueHeaders[name] ?? []), value];
  }
  const multiValueQuery: Record<string, string[]> = {};
  for (const [name, value] of query) multiValueQuery[name] = [...(multiValueQuery[name] ?? []), value];
  return {
    resource,
    path,
    httpMethod: request.method ?? 'GET',
    headers: lastOf(multiValueHeaders),
    multiValueHeaders,
    queryStringParameters: query.size > 0 ? lastOf(multiValueQuery) : null,
    multiValueQueryStringParameters: query.size > 0 ? multiValueQuery : null,
    pathParameters,
    stageVariables: null,
  };
}

function requestContext(
  { request, requestId, resource, path }: MatchedRequest,
  authorizer: Record<string, string> | null | undefined,
) {
  return {
    accountId: '000000000000',
    apiId: 'local',
    ...(authorizer !== undefined && { authorizer }),
    httpMethod: request.method ?? 'GET',
    identity: { sourceIp: request.socket.remoteAddress ?? '127.0.0.1', userAgent: request.headers['user-agent'] ?? null },
    path: `/local${path}`,
    protocol: 'HTTP/1.1',
    requestId,
    requestTimeEpoch: Date.now(),
    resourceId: 'local',
    resourcePath: resource,
    stage: 'local',
  };
}

function lastOf(values: Record<string, string[]>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, all]) => [name, all.at(-1) ?? '']));
}

function utf8(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
