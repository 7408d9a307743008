import { startDynamo } from '../../local/dynamodb.js';
import { TEST_WORKERS } from './workers.js';

/** A database for each worker, since one answers one call at a time; or the one that DYNAMODB_ENDPOINT names. */
export async function setup(): Promise<() => Promise<void>> {
  const given = process.env.DYNAMODB_ENDPOINT;
  if (given) {
    process.env.HEADGATE_TEST_ENDPOINTS = given;
    return async () => {};
  }
  const databases = await Promise.all(Array.from({ length: TEST_WORKERS }, () => startDynamo()));
  process.env.HEADGATE_TEST_ENDPOINTS = databases.map(({ endpoint }) => endpoint).join();
  return async () => {
    await Promise.all(databases.map((database) => database.stop()));
  };
}
