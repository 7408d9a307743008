import { afterAll } from 'vitest';
import { testTables } from './test-tables.js';

// The database gets slower with each table that is left. A file that made none is spared loading the AWS SDK.
afterAll(async () => {
  const names = testTables.splice(0);
  if (names.length > 0) await (await import('./dynamodb.js')).dropTables(names);
});
