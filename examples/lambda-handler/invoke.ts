/** Invokes the handler on this machine as an HTTP API does, for one caller. */
import type { APIGatewayProxyEventV2WithJWTAuthorizer } from 'aws-lambda';
import { handler } from './handler.js';

for (const question of ['How do gates work?', 'Who opens them?', 'And who shuts them?', 'What for?']) {
  const { statusCode, headers, body } = await handler({
    requestContext: { authorizer: { jwt: { claims: { sub: 'user-1' } } } },
    body: JSON.stringify({ question }),
  } as unknown as APIGatewayProxyEventV2WithJWTAuthorizer);
  console.log(statusCode, statusCode === 200 ? body : headers);
}
