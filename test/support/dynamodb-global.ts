import { startDynamo } from '../../local/dynamodb.js';

/** One database for the whole run, unless DYNAMODB_ENDPOINT names a running one. */
export async function setup(): Promise<() => Promise<void>> {
  const given = process.env.DYNAMODB_ENDPOINT;
  if (given) {
    process.env.HEADGATE_TEST_ENDPOINT = given;
    return async () => {};
  }
  const database = await startDynamo();
  process.env.HEADGATE_TEST_ENDPOINT = database.endpoint;
  return () => database.stop();
}
