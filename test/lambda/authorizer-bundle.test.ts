import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { APIGatewayAuthorizerResult, APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { build, type Metafile } from 'esbuild';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import { Limit } from '../../lib/core/limit.js';
import { deployed, slow } from './cold-start.js';
import { authorizerEvent } from './events.js';
import { signed, signingKey, tokenIssuer } from './token-issuer.js';

const directory = mkdtempSync(join(tmpdir(), 'headgate-authorizer-'));
const entry = join(directory, 'index.mjs');
let admin: HeadgateAdmin;
let metafile: Metafile;

beforeAll(async () => {
  admin = await deployed();
  // A module of the build, in plain JavaScript.
  const bundling = (await import('../../authorizer-bundle.mjs' as string)) as {
    readonly bundleAuthorizer: (outdir: string) => Promise<Metafile>;
  };
  metafile = await bundling.bundleAuthorizer(directory);
});

afterAll(() => rmSync(directory, { recursive: true }));

/** What the bundle, alone in its directory, answers to these events in a process of its own. */
async function answers(
  events: readonly APIGatewayRequestAuthorizerEvent[],
  environment: Readonly<Record<string, string>> = {},
): Promise<readonly APIGatewayAuthorizerResult[]> {
  const script = `
    const { handler } = await import(process.argv[1]);
    const results = [];
    for (const event of JSON.parse(process.argv[2])) results.push(await handler(event));
    console.log(JSON.stringify(results));
    process.exit(0);`;
  const run = promisify(execFile);
  const env = { ...process.env, ...environment };
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script, entry, JSON.stringify(events)], { env });
  return JSON.parse(stdout);
}

const call = (key: string): APIGatewayRequestAuthorizerEvent =>
  authorizerEvent({
    method: 'POST',
    resource: '/llm/{provider}/{path+}',
    path: '/llm/openai/v1/chat/completions',
    pathParameters: { provider: 'openai', path: 'v1/chat/completions' },
    headers: { Authorization: `Bearer ${key}` },
  });

const effectsOf = (results: readonly APIGatewayAuthorizerResult[]) =>
  results.map(({ policyDocument }) => policyDocument.Statement[0]?.Effect);

it('the bundle imports nothing at once but its own files and what Node.js has', () => {
  const outside = Object.values(metafile.outputs).flatMap(({ imports }) =>
    imports.filter(({ external, kind }) => external && kind === 'import-statement').map(({ path }) => path.replace(/^node:/, '')),
  );
  expect(outside.filter((path) => !builtinModules.includes(path))).toEqual([]);
});

it('a cold start loads at most 1.25 x the bytes of a handler that only holds a DynamoDBClient, and no cron expressions', async () => {
  const bare = await build({
    entryPoints: ['bench/bare-handler.ts'],
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    mainFields: ['module', 'main'],
    write: false,
  });
  const loaded = new Set<string>();
  const load = (path: string): void => {
    if (loaded.has(path) || metafile.outputs[path] === undefined) return;
    loaded.add(path);
    for (const { kind, path: next } of metafile.outputs[path].imports) if (kind === 'import-statement') load(next);
  };
  load(Object.keys(metafile.outputs).find((path) => path.endsWith('/index.mjs')) ?? '');
  const bytes = [...loaded].reduce((sum, path) => sum + (metafile.outputs[path]?.bytes ?? 0), 0);
  expect(bytes).toBeGreaterThan(statSync(entry).size - 1);
  expect(bytes / (bare.outputFiles[0]?.contents.byteLength ?? 0)).toBeLessThanOrEqual(1.25);
  const inputs = [...loaded].flatMap((path) => Object.keys(metafile.outputs[path]?.inputs ?? {}));
  expect(inputs.filter((path) => /node_modules\/(croner|jose)\//.test(path))).toEqual([]);
});

it('the bundle lets a key in until its limit is used up', async () => {
  const entity = randomUUID();
  await admin.setLimits({ entity, resource: 'openai' }, [slow('rpm', 1)]);
  const { secret } = await admin.createKey({ entity });
  expect(effectsOf(await answers([call(secret), call(secret)]))).toEqual(['Allow', 'Deny']);
});

it('the bundle knows limits with a schedule', async () => {
  const entity = randomUUID();
  const always = { cron: '* * * * *', capacity: 2 };
  const limit = { name: 'rpm', capacity: 1, refillAmount: 1, refillPeriodMs: 86_400_000, schedule: [always] };
  await admin.setLimits({ entity, resource: 'openai' }, [Limit.custom(limit)]);
  const { secret } = await admin.createKey({ entity });
  expect(effectsOf(await answers([call(secret), call(secret), call(secret)]))).toEqual(['Allow', 'Allow', 'Deny']);
});

it('the bundle knows tokens', async () => {
  const issuer = await tokenIssuer();
  const key = await signingKey('ec-1', 'ES256');
  issuer.keys = [key];
  const entity = randomUUID();
  await admin.setLimits({ entity, resource: 'openai' }, [slow('rpm', 1)]);
  const claims = { iss: issuer.issuer, aud: 'us', sub: entity, exp: Math.floor(Date.now() / 1_000) + 300 };
  const token = await signed({ key, claims });
  const environment = { HEADGATE_JWT_ISSUER: issuer.issuer, HEADGATE_JWT_AUDIENCE: 'us' };
  expect(effectsOf(await answers([call(token), call(token)], environment))).toEqual(['Allow', 'Deny']);
  await issuer.stop();
});
