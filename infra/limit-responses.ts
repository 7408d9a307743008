import { ResponseType, type RestApi } from 'aws-cdk-lib/aws-apigateway';

/**
 * Makes an authorizer's answers leave the API as HTTP means them: a denial as 429 with its wait, a missing or wrong key as 401.
 *
 * What the 429 says comes from the context of the authorizer's Deny:
 *
 *     retryAfter         whole seconds         -> Retry-After
 *     rateLimit          "tpm";r=0;t=7         -> RateLimit
 *     rateLimitPolicy    "tpm";q=10000;w=60    -> RateLimit-Policy
 *     problem            a JSON object, ready  -> the body
 *
 * In a header mapping quotes make a literal; unquoted, the value is looked up. A template is only substituted, never escaped, so the
 * body must arrive as finished JSON. Its key is the media type that API Gateway picks it by, and every client gets this one; the header
 * then says what it is.
 *
 * A gateway response belongs to the whole API: a denial by IAM has the same type and leaves as 429 too, with an empty context.
 */
export function limitResponses(api: RestApi): void {
  api.addGatewayResponse('LimitExceeded', {
    type: ResponseType.ACCESS_DENIED,
    statusCode: '429',
    responseHeaders: {
      'Content-Type': PROBLEM_JSON,
      'Retry-After': 'context.authorizer.retryAfter',
      RateLimit: 'context.authorizer.rateLimit',
      'RateLimit-Policy': 'context.authorizer.rateLimitPolicy',
    },
    templates: { 'application/json': '$context.authorizer.problem' },
  });
  api.addGatewayResponse('Unauthorized', {
    type: ResponseType.UNAUTHORIZED,
    statusCode: '401',
    responseHeaders: { 'Content-Type': PROBLEM_JSON, 'WWW-Authenticate': "'Bearer'" },
    templates: {
      'application/json': JSON.stringify({
        type: 'about:blank',
        title: 'Unauthorized',
        status: 401,
        code: 'Unauthorized',
        detail: 'The request carries no valid Headgate key or token.',
      }),
    },
  });
}

const PROBLEM_JSON = "'application/problem+json'";
