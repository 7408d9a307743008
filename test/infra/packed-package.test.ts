import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Template } from 'aws-cdk-lib/assertions';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isLong } from '../support/long.js';
import { onlyResource, resourcesOf } from './stack-template.js';

/** An app of somebody who installed the package: an API of their own behind Headgate's authorizer, and limits from a manifest that extends a preset. */
const APP = `
import { App, CfnOutput, Stack } from 'aws-cdk-lib';
import { AuthorizationType, MockIntegration, RestApi } from 'aws-cdk-lib/aws-apigateway';
import { HeadgateAuthorizer, HeadgateManifest, type HeadgateManifestProps, HeadgateTable } from 'headgate/cdk';

const app = new App({ outdir: 'cdk.out' });
const stack = new Stack(app, 'Orders', { env: { region: 'eu-west-1' } });
const table = HeadgateTable.fromTableArn(stack, 'Limits', 'arn:aws:dynamodb:eu-west-1:111122223333:table/headgate');
const access = new HeadgateAuthorizer(stack, 'Access', { table, resource: 'fixed:orders' });
const api = new RestApi(stack, 'Api');
access.addResponses(api);
api.root.addResource('orders').addMethod('GET', new MockIntegration(), {
  authorizationType: AuthorizationType.CUSTOM,
  authorizer: access.authorizer,
});
const props: HeadgateManifestProps = { table, file: 'headgate.yaml', prune: true };
// @ts-expect-error The types know every prop: there is no prunes.
export const wrong: HeadgateManifestProps = { table, file: 'headgate.yaml', prunes: true };
new CfnOutput(stack, 'Applied', { value: new HeadgateManifest(stack, 'Manifest', props).summary });
app.synth();
`;

const SOURCES = ['lib', 'lambda', 'cli', 'infra', 'schema', 'build.mjs', 'authorizer-bundle.mjs', 'tsconfig.json'];
const LAST_BUILT = 'dist/bundles/authorizer/croner.cjs';
const changedMs = (path: string): number =>
  statSync(path).isDirectory()
    ? Math.max(...readdirSync(path).map((name) => changedMs(join(path, name))))
    : statSync(path).mtimeMs;
const isBuilt = existsSync(LAST_BUILT) && statSync(LAST_BUILT).mtimeMs > Math.max(...SOURCES.map(changedMs));

const { dependencies, devDependencies, peerDependencies, exports } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, unknown>>;
};
const FRAMEWORKS = ['hono', 'express', 'fastify', '@middy/core'];
/** What acquiring in the namespace `search` needs. */
const ACQUIRING = [
  { Effect: 'Allow', Action: ['dynamodb:UpdateItem', 'dynamodb:GetItem'], Condition: keys('search#b#*') },
  { Effect: 'Allow', Action: 'dynamodb:BatchGetItem', Condition: keys('search#config', 'search#e#*') },
];
const TSC = realpathSync('node_modules/typescript/bin/tsc');

describe.skipIf(!isBuilt && !isLong)('the packed package, of a build that is not older than its sources (npm run build)', () => {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-packed-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const env = { ...process.env, CDK_OUTDIR: join(folder, 'page.out') };
  const run = (...args: string[]) => spawnSync(process.execPath, args, { cwd: folder, env, encoding: 'utf8' });
  const compiled = (files: readonly string[], types = ''): string =>
    run(TSC, '--module', 'nodenext', '--target', 'es2023', '--strict', '--skipLibCheck', '--types', types, ...files).stdout;

  beforeAll(() => {
    if (!isBuilt) execFileSync(process.execPath, ['build.mjs']);
    const [packed] = JSON.parse(
      execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], { encoding: 'utf8' }),
    );
    const installed = join(folder, 'node_modules', 'headgate');
    mkdirSync(installed, { recursive: true });
    execFileSync('tar', ['-xzf', join(folder, packed.filename), '-C', installed, '--strip-components=1']);
    // What npm would install beside it, and nothing else: no bundler, no development tool, and of web frameworks the types alone are needed.
    for (const name of Object.keys({ ...dependencies, ...peerDependencies }).filter((name) => !FRAMEWORKS.includes(name))) {
      mkdirSync(dirname(join(folder, 'node_modules', name)), { recursive: true });
      symlinkSync(realpathSync(join('node_modules', name)), join(folder, 'node_modules', name));
    }
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    writeFileSync(join(folder, 'headgate.yaml'), 'version: 1\nextends: openai/tier-1\nnamespace: orders\n');
  }, 120_000);

  it('is imported under each of its names, with nothing installed but its dependencies', () => {
    const names = Object.keys(exports).filter((name) => !name.endsWith('.json'));
    expect(names).toEqual(['.', './cdk', './manifest', './llm', './hono', './express', './fastify', './middy']);
    const imports = names.map((name, index) => `import * as names${index} from 'headgate${name.slice(1)}';`);
    const counts = names.map((_, index) => `Object.keys(names${index}).length > 0`);
    const { stdout, stderr } = run('--input-type=module', '-e', `${imports.join('')} console.log(${counts.join(',')})`);
    expect([stdout, stderr]).toEqual(['true true true true true true true true\n', '']);
  });

  it('has a command line that runs', () => {
    const { stdout, status } = run('node_modules/headgate/dist/cli/main.js', 'limits', 'validate');
    expect([stdout, status]).toEqual([expect.stringContaining('headgate.yaml'), 0]);
  });

  it('stands behind an API of somebody’s own: their app compiles against its types and synthesizes to an authorizer with its function', () => {
    writeFileSync(join(folder, 'app.ts'), APP);
    expect(compiled(['app.ts'])).toBe('');
    const { stderr, status } = run('app.js');
    expect([stderr, status]).toEqual(['', 0]);

    const template = Template.fromJSON(JSON.parse(readFileSync(join(folder, 'cdk.out', 'Orders.template.json'), 'utf8')));
    const [authorizerId] = Object.keys(template.findResources('AWS::ApiGateway::Authorizer'));
    expect(onlyResource(template, 'AWS::ApiGateway::Authorizer').Properties).toMatchObject({
      Type: 'REQUEST',
      AuthorizerResultTtlInSeconds: 0,
    });
    expect(onlyResource(template, 'AWS::ApiGateway::Method').Properties).toMatchObject({
      AuthorizationType: 'CUSTOM',
      AuthorizerId: { Ref: authorizerId },
    });
    const functions = resourcesOf(template, 'AWS::Lambda::Function').map(({ Properties }) => Properties);
    expect(new Set(functions.map(({ Description }) => Description))).toEqual(
      new Set(['Headgate: applies the manifest of a deployment', 'Headgate: authenticates LLM calls and admits or denies them']),
    );
    for (const { Code, Handler } of functions) {
      expect(Handler).toBe('index.handler');
      const code = join(folder, 'cdk.out', `asset.${Code.S3Key.replace('.zip', '')}`, 'index.mjs');
      expect(statSync(code).size).toBeGreaterThan(100_000);
    }
    expect(onlyResource(template, 'Custom::HeadgateManifest').Properties).toMatchObject({
      Namespace: 'orders',
      Manifest: expect.stringContaining('gpt-4o'),
    });
  }, 120_000);

  describe('with the app of docs/deploy.md', () => {
    const page = readFileSync('docs/deploy.md', 'utf8');
    const blocks = (language: string): readonly string[] =>
      [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(([, text = '']) => text);
    const templateOf = (stack: string) =>
      Template.fromJSON(JSON.parse(readFileSync(join(folder, 'page.out', `${stack}.template.json`), 'utf8')));

    beforeAll(() => {
      mkdirSync(join(folder, 'limits'));
      for (const text of blocks('yaml')) writeFileSync(join(folder, /^# (limits\/\S+)$/m.exec(text)?.[1] ?? ''), text);
      writeFileSync(join(folder, 'page.ts'), `${blocks('ts').join('\n')}\napp.synth();\n`);
      expect(compiled(['page.ts'])).toBe('');
      const { stderr, status } = run('page.js');
      expect([stderr, status]).toEqual(['', 0]);
    }, 120_000);

    it('each region has its share of what both may use', () => {
      const shares = ['Headgate', 'HeadgateAmerica'].map((stack) => {
        const { Manifest: manifest } = onlyResource(templateOf(stack), 'Custom::HeadgateManifest').Properties;
        return JSON.parse(manifest).resources['gpt-4o'].limits.tpm;
      });
      expect(shares).toEqual(['400000/minute', '200000/minute']);
    });

    it('the other account is let in by the table’s own policy, to one namespace, and its role by its own', () => {
      const given = statementsOf(
        onlyResource(templateOf('Headgate'), 'AWS::DynamoDB::Table').Properties.ResourcePolicy.PolicyDocument,
      );
      expect(given.map(({ Principal, ...statement }) => [JSON.stringify(Principal), statement])).toEqual(
        ACQUIRING.map((statement) => [expect.stringContaining('444455556666'), { ...statement, Resource: '*' }]),
      );
      expect(statementsOf(onlyResource(templateOf('Search'), 'AWS::IAM::Policy').Properties.PolicyDocument)).toEqual(
        ACQUIRING.map((statement) => ({ ...statement, Resource: 'arn:aws:dynamodb:eu-west-1:111122223333:table/headgate' })),
      );
    });

    it('every role has the boundary, every function’s role the prefix, and the table the tag; it goes with its stack', () => {
      const template = templateOf('HeadgateBounded');
      const roles = resourcesOf(template, 'AWS::IAM::Role').map(({ Properties }) => Properties);
      expect(roles.map(({ PermissionsBoundary }) => JSON.stringify(PermissionsBoundary))).toEqual(
        roles.map(() => expect.stringContaining(':policy/developers')),
      );
      expect(new Set(roles.map(({ RoleName }) => RoleName))).toEqual(
        new Set([
          undefined,
          ...['api', 'authorizer', 'gateway', 'aggregator', 'manifest'].map((handler) => `platform-${handler}`),
        ]),
      );
      const { Properties, DeletionPolicy } = onlyResource(template, 'AWS::DynamoDB::Table');
      expect([Properties.Tags, Properties.DeletionProtectionEnabled, DeletionPolicy]).toEqual([
        [{ Key: 'cost-centre', Value: '4711' }],
        false,
        'Delete',
      ]);
    });
  });

  it('is what the examples compile against, copied into a project that has their packages', () => {
    const missing = Object.keys(devDependencies).filter((name) => !existsSync(join(folder, 'node_modules', name)));
    for (const name of missing) {
      mkdirSync(dirname(join(folder, 'node_modules', name)), { recursive: true });
      symlinkSync(realpathSync(join('node_modules', name)), join(folder, 'node_modules', name));
    }
    cpSync('examples', join(folder, 'examples'), { recursive: true });
    const programs = readdirSync('examples', { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));
    expect(programs.length).toBeGreaterThan(5);
    expect(
      compiled(
        programs.map((path) => join('examples', path)),
        'node',
      ),
    ).toBe('');
  });
});

interface PolicyDocument {
  readonly Statement: readonly Readonly<Record<string, unknown>>[];
}

const statementsOf = ({ Statement }: PolicyDocument) => Statement;

function keys(...patterns: readonly string[]) {
  return { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': patterns } };
}
