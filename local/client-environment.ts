import type { System } from './system.js';

/**
 * What clients on this machine read to find a system, by variable: the AWS SDK its database and Bedrock, and the clients of OpenAI the
 * simulated provider.
 */
export function clientEnvironment({ url, dynamoEndpoint, tableName, upstream }: System): Readonly<Record<string, string>> {
  return {
    AWS_ENDPOINT_URL_DYNAMODB: dynamoEndpoint,
    AWS_ENDPOINT_URL_BEDROCK_RUNTIME: upstream.url,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    HEADGATE_TABLE: tableName,
    HEADGATE_URL: url,
    OPENAI_BASE_URL: `${upstream.url}/v1`,
    OPENAI_API_KEY: 'local',
  };
}
