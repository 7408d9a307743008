// Writes dist/: compiled modules (tsc), then one self-contained bundle a handler, so that a deployment needs no bundler.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { build } from 'esbuild';
import { BUNDLED, bundleAuthorizer } from './authorizer-bundle.mjs';

const run = (args) => execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', ...args], { stdio: 'inherit' });

rmSync('dist', { recursive: true, force: true });
run(['-p', 'tsconfig.build.json']);
run(['-p', 'infra/tsconfig.build.json']);

await build({
  ...BUNDLED,
  entryPoints: ['api', 'gateway', 'aggregator', 'archive'].map((name) => ({ in: `lambda/${name}.ts`, out: `${name}/index` })),
  outdir: 'dist/bundles',
});
// Lambda carries the S3 client too; only a manifest that is too long for a property is read with it.
await build({
  ...BUNDLED,
  external: [...BUNDLED.external, '@aws-sdk/client-s3'],
  entryPoints: [{ in: 'lambda/manifest.ts', out: 'manifest/index' }],
  outdir: 'dist/bundles',
});
await bundleAuthorizer('dist/bundles/authorizer');
