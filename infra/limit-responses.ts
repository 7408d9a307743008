import { GatewayResponse, type GatewayResponseOptions, type IRestApi, ResponseType } from 'aws-cdk-lib/aws-apigateway';

/**
 * Makes an authorizer's answers leave the API as HTTP means them: a denial as 429 with its wait, a missing or wrong key as 401, an error or no
 * answer as 503. A second call for the same API changes nothing.
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
export function limitResponses(api: IRestApi): void {
  if (api.node.tryFindChild('LimitExceeded') !== undefined) return;
  const add = (id: string, options: GatewayResponseOptions) => new GatewayResponse(api, id, { restApi: api, ...options });
  add('LimitExceeded', {
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
  add('Unauthorized', {
    type: ResponseType.UNAUTHORIZED,
    statusCode: '401',
    responseHeaders: { 'Content-Type': PROBLEM_JSON, 'WWW-Authenticate': "'Bearer'" },
    templates: {
      'application/json': problem(401, 'Unauthorized', 'Unauthorized', 'The request carries no valid Headgate key or token.'),
    },
  });
  // What an authorizer throws is the first of these; the second is for one that could not be asked.
  for (const [id, type] of [
    ['AuthorizerError', ResponseType.AUTHORIZER_CONFIGURATION_ERROR],
    ['AuthorizerFailure', ResponseType.AUTHORIZER_FAILURE],
  ] as const) {
    add(id, {
      type,
      statusCode: '503',
      responseHeaders: { 'Content-Type': PROBLEM_JSON, 'Retry-After': "'1'" },
      templates: {
        'application/json': problem(
          503,
          'LimiterUnavailable',
          'No decision',
          'Whether the request may be made could not be decided.',
        ),
      },
    });
  }
}

/** With the `error` that clients of OpenAI and most others read: API Gateway answers before it is known which provider's they are. */
const problem = (status: number, code: string, title: string, detail: string): string => {
  const error = { message: detail, type: code, param: null, code };
  return JSON.stringify({ type: 'about:blank', title, status, code, detail, error });
};

export const PROBLEM_JSON = "'application/problem+json'";
