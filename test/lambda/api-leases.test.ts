import { beforeAll, describe, expect, it } from 'vitest';
import { leaseTokens } from '../../lib/http/lease-token.js';
import { tokens } from './cold-start.js';
import { DeployedApi, posting } from './deployed-api.js';

let api: DeployedApi;

beforeAll(async () => {
  api = await DeployedApi.start();
});

/** A lease of 1 request and 400 tokens, over HTTP. */
async function leased() {
  const entity = await api.limited();
  const { body } = await api.post('/v1/acquire', { entity, resource: 'gpt-4', consume: { rpm: 1, tpm: 400 } });
  const lease: string = body.lease;
  return { entity, lease, leaseId: tokens.verify(lease, Date.now()).id };
}

describe('POST /v1/adjust', () => {
  it('settles a lease to what it really was, down or into debt', async () => {
    const [down, up] = [await leased(), await leased()];
    const settled = await api.post('/v1/adjust', { lease: down.lease, actual: { tpm: 120 } });
    expect(settled).toMatchObject({ status: 200, body: { leaseId: down.leaseId, actual: { tpm: 120 } } });
    await api.post('/v1/adjust', { lease: up.lease, actual: { tpm: 2_500 } });
    expect(await api.available(down.entity)).toEqual({ rpm: 2, tpm: 880 });
    expect(await api.available(up.entity)).toEqual({ rpm: 2, tpm: -1_500 });
  });

  it('answers the same to the same call again, and changes nothing', async () => {
    const { entity, lease } = await leased();
    const first = await api.post('/v1/adjust', { lease, actual: { tpm: 120 } });
    for (let again = 0; again < 4; again += 1) {
      expect(await api.post('/v1/adjust', { lease, actual: { tpm: 120 } })).toEqual(first);
    }
    expect(await api.available(entity)).toEqual({ rpm: 2, tpm: 880 });
  });

  it('is a 409 for another amount, and for a release after it', async () => {
    const { entity, lease, leaseId } = await leased();
    await api.post('/v1/adjust', { lease, actual: { tpm: 120 } });
    const closed = { status: 409, body: { code: 'LeaseClosed', detail: expect.stringContaining(leaseId) } };
    expect(await api.post('/v1/adjust', { lease, actual: { tpm: 119 } })).toMatchObject(closed);
    expect(await api.post('/v1/release', { lease })).toMatchObject(closed);
    expect(await api.available(entity)).toEqual({ rpm: 2, tpm: 880 });
  });

  it.each([
    { when: 'actual is missing', more: {}, field: 'actual' },
    { when: 'actual is null', more: { actual: null }, field: 'actual' },
    { when: 'actual is a list', more: { actual: [120] }, field: 'actual' },
    { when: 'an amount is negative', more: { actual: { tpm: -1 } }, field: 'actual.tpm' },
    { when: 'an amount is text', more: { actual: { tpm: '120' } }, field: 'actual.tpm' },
    { when: 'a field is unknown', more: { actual: {}, entity: 'another' }, field: 'body.entity' },
  ])('is a 400 that names the field when $when, and leaves the lease open', async ({ more, field }) => {
    const { entity, lease } = await leased();
    const refused = await api.post('/v1/adjust', { lease, ...more });
    expect(refused).toMatchObject({ status: 400, body: { code: 'InvalidArgument', field } });
    expect((await api.post('/v1/release', { lease })).status).toBe(200);
    expect(await api.available(entity)).toEqual({ rpm: 3, tpm: 1_000 });
  });

  it('is a 400 for a limit that the lease has not', async () => {
    const { lease } = await leased();
    const refused = await api.post('/v1/adjust', { lease, actual: { tpd: 1 } });
    expect(refused).toMatchObject({ status: 400, body: { code: 'UnknownLimit', detail: expect.stringContaining('"tpd"') } });
  });
});

describe('POST /v1/release', () => {
  it('gives all back, once, however often it comes', async () => {
    const { entity, lease, leaseId } = await leased();
    for (let time = 0; time < 3; time += 1) {
      expect(await api.post('/v1/release', { lease })).toMatchObject({ status: 200, body: { leaseId, released: true } });
    }
    expect(await api.available(entity)).toEqual({ rpm: 3, tpm: 1_000 });
  });

  it('is a 409 after a settlement, also to what it was', async () => {
    const { entity, lease } = await leased();
    await api.post('/v1/adjust', { lease, actual: { tpm: 400 } });
    expect(await api.post('/v1/release', { lease })).toMatchObject({ status: 409, body: { code: 'LeaseClosed' } });
    expect(await api.available(entity)).toEqual({ rpm: 2, tpm: 600 });
  });

  it('ends a lease once when it and settlements come at the same time', async () => {
    const { entity, lease } = await leased();
    const bodies = Array.from({ length: 6 }, (_, index) => ({ lease, actual: { tpm: index } }));
    const answers = await Promise.all([
      api.post('/v1/release', { lease }),
      ...bodies.map((body) => api.post('/v1/adjust', body)),
    ]);
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 409, 409, 409, 409, 409, 409]);
    const { body } = answers.find(({ status }) => status === 200)!;
    const left = body.released ? { rpm: 3, tpm: 1_000 } : { rpm: 2, tpm: 1_000 - body.actual.tpm };
    expect(await api.available(entity)).toEqual(left);
  });
});

describe('a lease that is none of ours', () => {
  it.each(['/v1/adjust', '/v1/release'])('is refused by %s, and its bucket stays', async (route) => {
    const { entity, lease } = await leased();
    const state = tokens.verify(lease, Date.now());
    const key = 'the signing key of these tests';
    const forged = {
      'of another key': leaseTokens(['a key that somebody made up'], 'tenant').sign(state, Date.now()),
      'of another namespace': leaseTokens([key], 'default').sign(state, Date.now()),
      'older than ten minutes': tokens.sign(state, Date.now() - 606_000),
      altered: `${lease.slice(0, 40)}${lease[40] === 'A' ? 'B' : 'A'}${lease.slice(41)}`,
      missing: undefined,
      'a number': 7,
    };
    for (const [how, token] of Object.entries(forged)) {
      const { status, body } = await api.post(route, { lease: token, ...(route === '/v1/adjust' && { actual: { tpm: 0 } }) });
      expect([how, status, body.code, body.field]).toEqual([how, 400, 'InvalidArgument', 'lease']);
    }
    expect(await api.available(entity)).toEqual({ rpm: 2, tpm: 600 });
  });
});

describe('a body', () => {
  const padded = (bytes: number) => JSON.stringify({ lease: 'x' }).padEnd(bytes, ' ');

  it.each(['/v1/acquire', '/v1/adjust', '/v1/release'])(
    'of 64 KB is read by %s, and of one byte more is a 413',
    async (route) => {
      expect((await api.post(route, padded(65_536))).status).toBe(400);
      const { status, headers, body } = await api.post(route, padded(65_537));
      expect([status, headers['Content-Type'], body.code]).toEqual([413, 'application/problem+json', 'ContentTooLarge']);
      expect(body.detail).toBe('Expected a body of at most 65536 bytes, got 65537');
    },
  );

  it('is measured in bytes as they were sent, not in characters, nor in base64', async () => {
    const wide = `"${'ü'.repeat(32_767)}"`;
    expect((await api.post('/v1/acquire', wide)).status).toBe(400);
    expect((await api.post('/v1/acquire', ` ${wide}`)).status).toBe(413);
    const inBase64 = (text: string) => ({
      ...posting('/v1/acquire', Buffer.from(text).toString('base64')),
      isBase64Encoded: true,
    });
    expect((await api.answer(inBase64(wide))).status).toBe(400);
    expect((await api.answer(inBase64(` ${wide}`))).status).toBe(413);
  });
});
