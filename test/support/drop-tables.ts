import { afterAll } from 'vitest';
import { dropTestTables } from './dynamodb.js';

// The database gets slower with each table that is left.
afterAll(dropTestTables);
