// Writes dist/: compiled modules (tsc), then one self-contained bundle a handler, so that a deployment needs no bundler.
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { build } from 'esbuild';

const run = (args) => execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', ...args], { stdio: 'inherit' });

rmSync('dist', { recursive: true, force: true });
run(['-p', 'tsconfig.build.json']);
run(['-p', 'infra/tsconfig.build.json']);

await build({
  entryPoints: ['authorizer', 'api', 'gateway', 'aggregator'].map((name) => ({ in: `lambda/${name}.ts`, out: `${name}/index` })),
  outdir: 'dist/bundles',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  minify: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  mainFields: ['module', 'main'],
  // The Lambda runtime carries it; only a handler that reads the lease key loads it, once.
  external: ['@aws-sdk/client-secrets-manager'],
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
});
