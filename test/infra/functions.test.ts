import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { defaultBundleDirectory } from '../../infra/headgate-function.js';
import { functionOf, onlyResource, resourcesOf, stackTemplate, statementsOf } from './stack-template.js';

const HANDLERS = ['aggregator', 'api', 'authorizer', 'gateway'] as const;
const template = stackTemplate();
const environmentOf = (handler: (typeof HANDLERS)[number], of = template) =>
  functionOf(of, handler).Properties.Environment.Variables;
const [tableId] = Object.keys(template.findResources('AWS::DynamoDB::Table'));
const [leaseKeyId] = Object.keys(template.findResources('AWS::SecretsManager::Secret'));

describe.each(HANDLERS)('the %s function', (handler) => {
  it('runs index.handler on Node 24 for arm64', () => {
    expect(functionOf(template, handler).Properties).toMatchObject({
      Runtime: 'nodejs24.x',
      Architectures: ['arm64'],
      Handler: 'index.handler',
    });
  });

  it('knows its table and namespace', () => {
    expect(environmentOf(handler)).toMatchObject({ HEADGATE_TABLE: { Ref: tableId }, HEADGATE_NAMESPACE: 'default' });
  });

  it('logs to a group of its own whose entries expire', () => {
    const group = functionOf(template, handler).Properties.LoggingConfig.LogGroup.Ref;
    expect(template.findResources('AWS::Logs::LogGroup')[group]?.Properties.RetentionInDays).toBe(30);
    const logging = statementsOf(template, handler).filter(({ Action }) => Action.some((action) => action.startsWith('logs:')));
    expect(logging.flatMap(({ Resource }) => Resource)).toEqual([{ 'Fn::GetAtt': [group, 'Arn'] }]);
  });

  it('may neither scan nor do everything, on any service', () => {
    const actions = statementsOf(template, handler).flatMap(({ Action }) => Action);
    expect(actions.filter((action) => action.includes('*') || action.endsWith(':Scan'))).toEqual([]);
  });

  it('has no AWS-managed policy', () => {
    const roleId = functionOf(template, handler).Properties.Role['Fn::GetAtt'][0];
    expect(template.findResources('AWS::IAM::Role')[roleId]?.Properties).not.toHaveProperty('ManagedPolicyArns');
  });
});

describe('access to the table’s items', () => {
  // How a policy writes a character that would otherwise be a wildcard or start a variable.
  const literal = (character: '*' | '?' | '$') => ['$', '{', character, '}'].join('');
  const itemStatements = (handler: (typeof HANDLERS)[number], of = template) =>
    statementsOf(of, handler).filter(
      ({ Resource }) => JSON.stringify(Resource) === JSON.stringify([{ 'Fn::GetAtt': [tableId, 'Arn'] }]),
    );

  it.each([
    {
      handler: 'api',
      actions: ['BatchGetItem', 'ConditionCheckItem', 'DeleteItem', 'GetItem', 'PutItem', 'Query', 'UpdateItem'],
    },
    { handler: 'authorizer', actions: ['BatchGetItem'] },
    { handler: 'gateway', actions: ['BatchGetItem', 'GetItem', 'UpdateItem'] },
    { handler: 'aggregator', actions: ['UpdateItem'] },
  ] as const)('is no more than $actions for $handler', ({ handler, actions }) => {
    const granted = itemStatements(handler).flatMap(({ Action }) => Action);
    expect([...new Set(granted)].sort()).toEqual(actions.map((action) => `dynamodb:${action}`));
  });

  it('is that of the gateway for an authorizer that acquires', () => {
    const granted = itemStatements('authorizer', stackTemplate({ access: { acquiredBy: 'authorizer' } }));
    const actions = ['BatchGetItem', 'GetItem', 'UpdateItem'].map((action) => `dynamodb:${action}`);
    expect([...new Set(granted.flatMap(({ Action }) => Action))].sort()).toEqual(actions);
  });

  it.each([
    { when: 'the namespace is the default', namespace: undefined, leadingKeys: 'default#*' },
    { when: 'the namespace is another', namespace: 'acme', leadingKeys: 'acme#*' },
    { when: 'the namespace looks like a wildcard', namespace: '*', leadingKeys: `${literal('*')}#*` },
    { when: 'the namespace holds the other specials', namespace: 'a?b$c', leadingKeys: `a${literal('?')}b${literal('$')}c#*` },
  ])('is limited to the namespace when $when', ({ namespace, leadingKeys }) => {
    const scoped = stackTemplate({ namespace });
    for (const handler of ['api'] as const) {
      expect(itemStatements(handler, scoped).map(({ Condition }) => Condition)).toEqual([
        { 'ForAllValues:StringLike': { 'dynamodb:LeadingKeys': [leadingKeys] } },
      ]);
    }
  });

  it.each([
    { when: 'is empty', namespace: '' },
    { when: 'holds the key separator', namespace: 'a#b' },
    { when: 'is longer than 256 bytes', namespace: 'é'.repeat(129) },
  ])('is refused to a namespace that $when', ({ namespace }) => {
    expect(() => stackTemplate({ namespace })).toThrow("Expected the namespace to have 1 to 256 bytes and no '#'");
  });
});

describe('the lease key', () => {
  it('is made by Secrets Manager and is in no template', () => {
    const { GenerateSecretString, SecretString } = onlyResource(template, 'AWS::SecretsManager::Secret').Properties;
    expect([GenerateSecretString.PasswordLength, SecretString]).toEqual([64, undefined]);
  });

  const authorizerAcquires = stackTemplate({ access: { acquiredBy: 'authorizer' } });

  it.each([
    { handler: 'api', of: template, when: 'always' },
    { handler: 'authorizer', of: authorizerAcquires, when: 'where it acquires' },
    { handler: 'gateway', of: authorizerAcquires, when: 'where the authorizer acquires' },
  ] as const)('is named to the $handler function, which may read it, $when', ({ handler, of }) => {
    expect(environmentOf(handler, of).HEADGATE_LEASE_KEY_SECRET).toEqual({ Ref: leaseKeyId });
    const reading = statementsOf(of, handler).filter(({ Action }) => Action.includes('secretsmanager:GetSecretValue'));
    expect(reading.map(({ Resource }) => Resource)).toEqual([[{ Ref: leaseKeyId }]]);
  });

  it.each(['aggregator', 'authorizer', 'gateway'] as const)('is unknown to the %s, which deals with no lease', (handler) => {
    expect(environmentOf(handler)).not.toHaveProperty('HEADGATE_LEASE_KEY_SECRET');
    expect(JSON.stringify(statementsOf(template, handler))).not.toContain('secretsmanager:');
  });
});

it('what becomes of calls without an answer of the table reaches the authorizer and the gateway function', () => {
  const local = stackTemplate({ access: { onUnavailable: { local: { share: 0.2 } } } });
  for (const handler of ['authorizer', 'gateway'] as const) {
    expect(environmentOf(handler, local).HEADGATE_ON_UNAVAILABLE).toBe('local:0.2');
    expect(environmentOf(handler)).not.toHaveProperty('HEADGATE_ON_UNAVAILABLE');
  }
});

it('prices reach the gateway function and no other, and only when they are given', () => {
  const prices = { 'gpt-4o': { input: 2.5, cachedInput: 1.25, output: 10 } };
  const given = stackTemplate({ prices });
  expect(JSON.parse(environmentOf('gateway', given).HEADGATE_PRICES)).toEqual(prices);
  const priced = resourcesOf(given, 'AWS::Lambda::Function').filter(
    ({ Properties }) => Properties.Environment.Variables.HEADGATE_PRICES,
  );
  expect(priced).toHaveLength(1);
  expect(environmentOf('gateway')).not.toHaveProperty('HEADGATE_PRICES');
});

describe('the upstreams', () => {
  const ARN = 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:llm/openai';

  it('are OpenAI alone, with the caller’s own key, when none are given', () => {
    expect(JSON.parse(environmentOf('gateway').HEADGATE_UPSTREAMS)).toEqual({ openai: { baseUrl: 'https://api.openai.com' } });
  });

  it('reach the gateway function and no other', () => {
    const upstreams = { anthropic: { baseUrl: 'https://api.anthropic.com', apiKeySecret: 'llm/anthropic', timeoutMs: 60_000 } };
    const given = stackTemplate({ upstreams });
    expect(JSON.parse(environmentOf('gateway', given).HEADGATE_UPSTREAMS)).toEqual(upstreams);
    expect(
      resourcesOf(given, 'AWS::Lambda::Function').filter(({ Properties }) => Properties.Environment.Variables.HEADGATE_UPSTREAMS),
    ).toHaveLength(1);
  });

  it.each([
    { when: 'it is named', apiKeySecret: 'llm/openai', resource: ':secret:llm/openai-??????' },
    { when: 'it is a whole ARN', apiKeySecret: `${ARN}-Ab12Cd`, resource: `${ARN}-Ab12Cd` },
    { when: 'it is an ARN without its random characters', apiKeySecret: ARN, resource: `${ARN}-??????` },
  ])('have an API key that the gateway alone may read when $when', ({ apiKeySecret, resource }) => {
    const given = stackTemplate({ upstreams: { openai: { baseUrl: 'https://api.openai.com', apiKeySecret } } });
    const readable = (handler: (typeof HANDLERS)[number]) =>
      JSON.stringify(statementsOf(given, handler).filter(({ Action }) => Action.includes('secretsmanager:GetSecretValue')));
    expect(readable('gateway')).toContain(`${resource}"`);
    for (const handler of ['api', 'authorizer', 'aggregator'] as const) expect(readable(handler)).not.toContain('openai');
  });
});

describe('an upstream of Bedrock', () => {
  const invoking = (given: ReturnType<typeof stackTemplate>, handler: (typeof HANDLERS)[number]) =>
    statementsOf(given, handler).filter(({ Action }) => Action.includes('bedrock:InvokeModel'));

  it('lets the gateway alone invoke its models, in any Region that a profile spans', () => {
    const models = ['eu.anthropic.claude-sonnet-4-6', 'amazon.titan-*'];
    const given = stackTemplate({ upstreams: { bedrock: { bedrockRegion: 'eu-west-1', models } } });
    const [statement, ...others] = invoking(given, 'gateway');
    expect(others).toEqual([]);
    expect(statement!.Action).toEqual(['bedrock:InvokeModel', 'bedrock:InvokeModelWithResponseStream', 'bedrock:CountTokens']);
    const resources = (statement!.Resource as unknown as object[]).map((resource) =>
      JSON.stringify(resource).replaceAll(/[^a-z0-9.:/*-]/gi, ''),
    );
    expect(resources).toEqual([
      expect.stringMatching(/:bedrock:\*::foundation-model\/anthropic\.claude-sonnet-4-6$/),
      expect.stringMatching(/:bedrock:eu-west-1:.*:inference-profile\/eu\.anthropic\.claude-sonnet-4-6$/),
      expect.stringMatching(/:bedrock:\*::foundation-model\/amazon\.titan-\*$/),
      expect.stringMatching(/:bedrock:eu-west-1:.*:inference-profile\/amazon\.titan-\*$/),
    ]);
    for (const handler of ['api', 'authorizer', 'aggregator'] as const) expect(invoking(given, handler)).toEqual([]);
    expect(JSON.parse(environmentOf('gateway', given).HEADGATE_UPSTREAMS)).toMatchObject({
      bedrock: { bedrockRegion: 'eu-west-1' },
    });
  });

  it.each([
    ['*.anthropic.*', 'a pattern of profiles', ['foundation-model/anthropic.*', 'inference-profile/*.anthropic.*']],
    ['us-gov.anthropic.*', 'a prefix of its own', ['foundation-model/anthropic.*', 'inference-profile/us-gov.anthropic.*']],
    ['*', 'anything', ['foundation-model/*', 'inference-profile/*']],
    [
      'arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/a1b2c3',
      'an ARN',
      ['application-inference-profile/a1b2c3'],
    ],
  ])('grants, for %s, which is %s, %o', (model, _what, granted) => {
    const given = stackTemplate({ upstreams: { bedrock: { bedrockRegion: 'eu-west-1', models: [model] } } });
    const [{ Resource } = { Resource: [] }] = invoking(given, 'gateway');
    const ends = [Resource].flat().map((resource) => /(?:[a-z]+-)*(?:model|profile)\/[^"]*/.exec(JSON.stringify(resource))?.[0]);
    expect(ends).toEqual(granted);
  });

  it('is the only reason to invoke models', () => {
    expect(invoking(stackTemplate(), 'gateway')).toEqual([]);
  });
});

describe('the bundles', () => {
  it.each([
    { when: 'run from source', module: 'file:///app/infra/headgate-function.ts', directory: '/app/dist/bundles' },
    { when: 'compiled', module: 'file:///app/dist/infra/headgate-function.js', directory: '/app/dist/bundles' },
    {
      when: 'installed',
      module: 'file:///x/node_modules/headgate/dist/infra/a.js',
      directory: '/x/node_modules/headgate/dist/bundles',
    },
  ])('are found in dist when $when', ({ module, directory }) => {
    expect(defaultBundleDirectory(module)).toBe(directory);
  });

  it('stop the synthesis when they are missing, with the command that makes them', () => {
    const bundleDirectory = join(tmpdir(), 'headgate-no-such-directory');
    expect(() => stackTemplate({ bundleDirectory })).toThrow(/found none: run `npm run build` first/);
  });
});
