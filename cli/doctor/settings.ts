import { type Check, failed, ok, reasonOf } from './check.js';

/** Whether the SDK finds a region and credentials: nothing can be asked without. */
export const checkSettings: Check = async ({ client }) => {
  const region = await client.config.region().then(
    (name) => ok('region', name),
    () => failed('region', 'none is set', 'Give --region, or set AWS_REGION, such as us-east-1'),
  );
  const credentials = await client.config.credentials().then(
    ({ accessKeyId }) => ok('credentials', `access key ${accessKeyId.slice(0, 4)}…`),
    (error: unknown) =>
      failed(
        'credentials',
        reasonOf(error),
        'Sign in (aws sso login), or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; DynamoDB Local takes any, such as local',
      ),
  );
  return [region, credentials];
};
