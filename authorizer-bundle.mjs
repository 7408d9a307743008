import { build } from 'esbuild';

/** What every handler's bundle has in common: one self-contained ES module for Lambda's Node.js. */
export const BUNDLED = {
  outExtension: { '.js': '.mjs' },
  bundle: true,
  minify: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  mainFields: ['module', 'main'],
  // The Lambda runtime carries them; a handler loads one when it first needs it.
  external: [
    '@aws-sdk/client-eventbridge',
    '@aws-sdk/client-s3',
    '@aws-sdk/client-secrets-manager',
    '@aws-sdk/client-sns',
    '@aws-sdk/client-sqs',
  ],
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
};

/**
 * What the client imports only when its turn comes, which in Lambda is never: ways to credentials, for a function finds its own in the environment,
 * and what tells browsers apart.
 */
const NEVER_NEEDED = [
  '@aws-sdk/credential-provider-http',
  '@aws-sdk/credential-provider-ini',
  '@aws-sdk/credential-provider-process',
  '@aws-sdk/credential-provider-sso',
  '@aws-sdk/credential-provider-web-identity',
  '@smithy/credential-provider-imds',
  'bowser',
];

/**
 * Writes the authorizer's bundle, the one that every call waits for: `index.mjs` is all that a cold start loads. What only some deployments or some
 * limits need lies beside it and is loaded when first needed. Returns esbuild's metafile. `entry`: another handler to bundle so, to compare with.
 */
export async function bundleAuthorizer(outdir, entry = 'lambda/authorizer.ts') {
  const { metafile } = await build({
    ...BUNDLED,
    entryPoints: [{ in: entry, out: 'index' }],
    outdir,
    splitting: true,
    metafile: true,
    external: [...BUNDLED.external, ...NEVER_NEEDED],
    alias: { croner: './lambda/croner-when-needed.ts' },
  });
  await build({
    stdin: { contents: "export { Cron } from 'croner';", resolveDir: '.' },
    outfile: `${outdir}/croner.cjs`,
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
  });
  return metafile;
}
