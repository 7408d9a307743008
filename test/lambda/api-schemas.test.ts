import { Ajv2020 } from 'ajv/dist/2020.js';
import { beforeAll, describe, expect, it } from 'vitest';
import { BODIES } from '../../lib/http/schemas.js';
import { DeployedApi } from './deployed-api.js';

const ajv = new Ajv2020({ allowUnionTypes: true });
const full = { resource: 'gpt-4', consume: { rpm: 1, tpm: 5 } };

let api: DeployedApi;
let entity: string;

beforeAll(async () => {
  api = await DeployedApi.start();
  entity = await api.limited();
  await api.limited(entity, 'search');
});

describe('a body of an acquire', () => {
  it.each([
    { body: full, held: true },
    { body: { ...full, also: [{ resource: 'search', consume: { tpm: 0 } }] }, held: true },
    { body: { ...full, maxWaitMs: 0.5, priority: 'high', contextTokens: 9 }, held: true },
    { body: { ...full, consume: {} }, held: true },
    { body: { resource: 'gpt-4' }, held: false },
    { body: { ...full, burst: 2 }, held: false },
    { body: { ...full, entity: '' }, held: false },
    { body: { ...full, entity: 'a#b' }, held: false },
    { body: { ...full, entity: 'x'.repeat(257) }, held: false },
    { body: { ...full, resource: 7 }, held: false },
    { body: { ...full, consume: { rpm: 1.5 } }, held: false },
    { body: { ...full, consume: { rpm: -1 } }, held: false },
    { body: { ...full, consume: { rpm: '1' } }, held: false },
    { body: { ...full, consume: { rpm: 2 ** 53 } }, held: false },
    { body: { ...full, consume: [1] }, held: false },
    { body: { ...full, also: [{ resource: 'gpt-4' }] }, held: false },
    { body: { ...full, also: Array.from({ length: 16 }, () => full) }, held: false },
    { body: { ...full, maxWaitMs: 86_400_001 }, held: false },
    { body: { ...full, maxWaitMs: -1 }, held: false },
    { body: { ...full, priority: 'urgent' }, held: false },
    { body: { ...full, contextTokens: -1 }, held: false },
  ])('is taken by the handler as by its schema: $held for $body', async ({ body, held }) => {
    const whole = { entity, ...body };
    const { status } = await api.post('/v1/acquire', whole);
    expect([ajv.validate(BODIES.acquire, whole), status === 200 || status === 429]).toEqual([held, held]);
  });
});
