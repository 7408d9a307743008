/** Answers questions, each caller within limits of its own. Behind an HTTP API with a JWT authorizer. */
import { BedrockRuntimeClient, ConverseCommand } from '@aws-sdk/client-bedrock-runtime';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { APIGatewayProxyEventV2WithJWTAuthorizer, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { Limit, RateLimitExceeded, RateLimiter } from 'headgate';

const MODEL = 'amazon.nova-lite-v1:0';
const LIMITS = [Limit.perMinute('rpm', 3), Limit.perMinute('tpm', 10_000)];
/** Above what most questions take; what they really took is charged in the end. */
const ESTIMATED_TOKENS = 600;

// One of each for all calls of an instance: the limiter remembers what it saw of its buckets.
const limiter = new RateLimiter({ tableName: process.env.HEADGATE_TABLE ?? 'headgate', deadlineMs: 5_000 });
// HTTP/1.1, for the simulated provider speaks no HTTP/2.
const bedrock = new BedrockRuntimeClient({ requestHandler: new NodeHttpHandler() });

export async function handler(event: APIGatewayProxyEventV2WithJWTAuthorizer): Promise<APIGatewayProxyStructuredResultV2> {
  const { question } = JSON.parse(event.body ?? '{}') as { question: string };
  const entity = String(event.requestContext.authorizer.jwt.claims.sub);
  const request = { entity, resource: MODEL, limits: LIMITS, consume: { rpm: 1, tpm: ESTIMATED_TOKENS } };
  try {
    // A call that throws gives all of it back.
    return await limiter.run(request, async (lease) => {
      const messages = [{ role: 'user' as const, content: [{ text: question }] }];
      const { output, usage } = await bedrock.send(
        new ConverseCommand({ modelId: MODEL, messages, inferenceConfig: { maxTokens: 500 } }),
      );
      await lease.settle({ tpm: usage?.totalTokens ?? ESTIMATED_TOKENS });
      return json(200, { answer: output?.message?.content?.[0]?.text, usage });
    });
  } catch (error) {
    if (error instanceof RateLimitExceeded) return json(429, error, error.toHeaders());
    throw error;
  }
}

const json = (statusCode: number, body: object, headers: Record<string, string> = {}) => ({
  statusCode,
  headers: { ...headers, 'Content-Type': 'application/json' },
  body: JSON.stringify(body),
});
