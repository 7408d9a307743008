// Writes docs/openapi.json from the schemas that the handlers use: `npm run openapi`.
import { readFileSync, writeFileSync } from 'node:fs';
import { openApiDocument } from '../lib/http/openapi.js';

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string };
writeFileSync(new URL('openapi.json', import.meta.url), `${JSON.stringify(openApiDocument(version), null, 2)}\n`);
