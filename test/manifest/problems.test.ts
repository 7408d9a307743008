import { expect, it } from 'vitest';
import { problemText } from '../../lib/manifest/problem.js';
import { readManifest } from '../../lib/manifest/read-manifest.js';

/** The problems of a text, each as a line. */
function problemsOf(text: string): readonly string[] {
  const result = readManifest(text, { file: 'f' });
  return 'problems' in result ? result.problems.map(problemText) : [];
}

it('tells all that is wrong at once, in the order of the lines', () => {
  expect(
    problemsOf(`version: 2
sytem: 5
resources:
  gpt-4o:
    limits: { rpm: 0/minute }
    shards: 65
    shards: 2
entities:
  acme: { tier: por, name: 7 }
tiers:
  pro: { limit: { rpm: 1/minute } }
`),
  ).toEqual([
    'f:1:10  version  Expected 1, got 2',
    'f:2:1  sytem  Unknown field. Did you mean system?',
    'f:5:20  resources["gpt-4o"].limits.rpm  Expected amount to be an integer from 1 to 9007199254740991, got 0',
    'f:6:13  resources["gpt-4o"].shards  Expected at most 64, got 65',
    'f:7:5  resources["gpt-4o"].shards  Expected each key once: this one came before',
    'f:9:17  entities.acme.tier  Expected a tier of this manifest (pro), got "por". Did you mean pro?',
    'f:9:28  entities.acme.name  Expected text, got 7',
    'f:11:10  tiers.pro.limit  Unknown field. Did you mean limits?',
  ]);
});

const limit = (text: string) => `version: 1\nsystem:\n  limits:\n    rpm: ${text}\n`;
const LIMIT = 'Expected a limit such as 60/minute, 10/10s,burst=20, 5000000/calendar-month, 50/session-5h or 20/lease-2m';
const CRON =
  'Expected five fields: minute 0-59, hour 0-23, day of the month 1-31, month 1-12, day of the week 0-7, such as "* 9-17 * * 1-5"';

it.each([
  {
    text: limit('60'),
    problem: /^f:4:10 {2}system\.limits\.rpm {2}Expected text or an object, such as 600\/minute, .*, got 60$/,
  },
  { text: limit('60/fortnight'), problem: `f:4:10  system.limits.rpm  ${LIMIT}, got "60/fortnight"` },
  { text: limit(''), problem: `f:4:5  system.limits.rpm  ${LIMIT}: nothing of this name is extended that could be taken away` },
  {
    text: limit('60/minute,mode=loud'),
    problem: 'f:4:10  system.limits.rpm  Expected mode to be one of enforce, observe, got "loud"',
  },
  { text: limit('{ amount: 5 }'), problem: 'f:4:10  system.limits.rpm.per  Expected this field: it is missing' },
  {
    text: limit('{ amount: 5, per: calendar-day, burst: 3 }'),
    problem: 'f:4:49  system.limits.rpm.burst  Expected left out: only a refilled limit has a burst, got 3',
  },
  {
    text: limit('{ amount: 5, per: 99999999999h }'),
    problem: 'f:4:28  system.limits.rpm.per  Expected an integer from 1 to 316224000000, got 359999999996400000',
  },
  {
    text: limit('{ amount: 5, per: minute, counts: inputTokens, weights: { output: 3 } }'),
    problem:
      'f:4:76  system.limits.rpm.weights.output  Expected left out: a limit that counts inputTokens has weights for input, cachedInput, got 3',
  },
  {
    text: limit('{ amount: 5, per: calendar-day, timeZone: Mars }'),
    problem: 'f:4:52  system.limits.rpm.timeZone  Expected an IANA time zone such as Europe/Paris, got "Mars"',
  },
  {
    text: limit('{ amount: 5, per: minute, schedule: [{ cron: "61 * * * *", scale: 2 }] }'),
    problem: `f:4:55  system.limits.rpm.schedule[0].cron  ${CRON}, got "61 * * * *"`,
  },
  {
    text: limit('{ amount: 5, per: minute, schedule: [{ cron: "* * * * *", timeZone: Mars, scale: 2 }] }'),
    problem: 'f:4:78  system.limits.rpm.schedule[0].timeZone  Expected an IANA time zone such as Europe/Paris, got "Mars"',
  },
  {
    text: limit('60/minute; x0.5 at * * * * * Mars'),
    problem: 'f:4:10  system.limits.rpm  Expected schedule[0].timeZone to be an IANA time zone such as Europe/Paris, got "Mars"',
  },
  {
    text: 'version: 1\nentities:\n  acme:\n  "acme":\n',
    problem: 'f:4:3  entities.acme  Expected each key once: this one came before',
  },
  { text: 'version: 1\nentities:\n  - acme\n', problem: 'f:3:3  entities  Expected an object, got ["acme"]' },
  {
    text: 'version: 1\nsystem: { limits: [rpm] }',
    problem: 'f:2:19  system.limits  Expected an object, such as {"rpm":"600/minute","tpm":"100000/minute"}, got ["rpm"]',
  },
  {
    text: 'version: 1\nsystem: { limits: { rpm: 10/10s,burst=20 } }',
    problem:
      'f:2:33  system.limits["burst=20"]  Expected quotes around a limit with options where it stands in braces: { rpm: "10/10s,burst=20" }',
  },
  { text: 'version: 1\nsystem: { disabled: yes }', problem: 'f:2:21  system.disabled  Expected true or false, got "yes"' },
  {
    text: 'version: 1\nsystem: { limits: { a b: 5/minute } }',
    problem: 'f:2:21  system.limits["a b"]  Expected 1 to 64 characters of A-Z a-z 0-9 _ - ., got "a b"',
  },
  {
    text: 'version: 1\nsystem: { limits: { rpm: 5/minute }, priorities: { low: 0.9, normal: 0.2 } }',
    problem:
      'f:2:70  system.priorities.normal  Expected a share above 0, at most 1, and at least the 0.9 of the priority before it, got 0.2',
  },
  {
    text: 'version: 1\nresources: { x: { shards: 2 } }',
    problem: 'f:2:14  resources.x  Expected limits, or a rule such as disabled or bypass: there is nothing to store',
  },
  {
    text: 'version: 1\nresources: { x: {} }',
    problem: 'f:2:14  resources.x  Expected limits, or a rule such as disabled or bypass: there is nothing to store',
  },
  {
    text: 'version: 1\nentities: { x: { record: false } }',
    problem: 'f:2:13  entities.x  Expected limits, or a rule such as disabled or bypass: there is nothing to store',
  },
  {
    text: 'version: 1\nentities: { x: { record: false, bypass: true, name: y } }',
    problem: 'f:2:47  entities.x.name  Expected no name beside record: false: it is part of the record',
  },
  {
    text: 'version: 1\nentities: { "a#b": }',
    problem: 'f:2:13  entities["a#b"]  Expected a name of 1 to 256 bytes of printable UTF-8 without #, got "a#b"',
  },
  {
    text: 'version: 1\nsystem: { bypass: true, defaultTier: free }',
    problem: 'f:2:38  system.defaultTier  Expected a tier of this manifest (there is none), got "free"',
  },
  {
    text: 'version: 1\nsystem: { limits: { x: 9/minute; x2 at * 25 * * * } }',
    problem: `f:2:24  system.limits.x  ${CRON.replace('Expected', 'Expected schedule[0].cron to be')}, got "* 25 * * *"`,
  },
  {
    text: 'version: 1\nsystem: { limits: { x: { amount: 9, per: minute, schedule: [{ cron: "* 9 * * *", scale: 0 }] } } }',
    problem: 'f:2:89  system.limits.x.schedule[0].scale  Expected more than 0, got 0',
  },
  {
    text: 'version: 1\nsystem: { limits: { rpm: 5/minute }, inherit: true }',
    problem: 'f:2:38  system.inherit  Unknown field. Expected one of limits, shards, priorities, disabled, bypass, defaultTier',
  },
  {
    text: 'version: 1\nentities: { a: { parent: b } }',
    problem: 'f:2:26  entities.a.parent  Expected an entity with a record in this manifest (a), got "b"',
  },
  {
    text: 'version: 1\nentities: { a: { parent: b }, b: { parent: c }, c: { parent: a } }',
    problem: 'f:2:26  entities.a.parent  Expected an entity that is not below a itself: a → b → c → a',
  },
  {
    text: 'version: 1\nentities: { a: { parent: a } }',
    problem: 'f:2:26  entities.a.parent  Expected an entity that is not below a itself: a → a',
  },
  {
    text: 'version: 1\nentities:\n  a:\n  b: { parent: a }\n  c: { parent: b }\n  d: { parent: c }\n  e: { parent: d }\n  f: { parent: e }\n',
    problem: 'f:7:16  entities.e.parent  Expected at most 4 levels: this parent has 3 above it already',
  },
  {
    text: 'version: 1\nentities: { a: { cascade: true } }',
    problem: 'f:2:18  entities.a.cascade  Expected no cascade: only an entity with a parent has it',
  },
  {
    text: 'version: 1\nentities: { a: { metadata: { x: 12345678901234567891 } } }',
    problem:
      'f:2:33  entities.a.metadata.x  Expected a number that is kept to the last digit, or text in quotes, got 12345678901234567891',
  },
  {
    text: 'version: 1\nentities: { a: { metadata: { x: .nan } } }',
    problem: /^f:2:28 {2}entities\.a\.metadata {2}Expected plain JSON: /,
  },
  { text: '', problem: 'f:1:1  Expected a manifest, such as version: 1 and what follows; the file is empty' },
  { text: '- version', problem: 'f:1:1  Expected an object, got ["version"]' },
  { text: 'system: { bypass: true }', problem: 'f:1:1  version  Expected this field: it is missing' },
  { text: 'version: 1\n---\nversion: 1\n', problem: 'f:2:1  Expected one document: a file has no second one after ---' },
  { text: 'version: 1\nsystem:\n\tbypass: true\n', problem: 'f:3:1  Expected spaces: YAML is not indented with tabs' },
  { text: '%YAML 1.1\n---\nversion: 1\n', problem: 'f:1:1  Expected YAML 1.2, got 1.1' },
  { text: 'version: !one 1\n', problem: 'f:1:10  Expected YAML: Unresolved tag: !one' },
  {
    text: 'version: 1\nentities: &a { x: *a }\n',
    problem: 'f:2:19  entities.x  Expected an anchor &a before its alias, and not around it',
  },
  { text: 'version: 1\nentities: { x: *b }\n', problem: /Unresolved alias|Expected an anchor &b before its alias/ },
  {
    text: 'version: 1\ntiers: { a: { <<: { bypass: true } } }\n',
    problem: 'f:2:15  tiers.a["<<"]  Expected no merge key: extends, and tiers, share limits between scopes',
  },
  { text: 'version: 1\n? [a]\n: 1\n', problem: 'f:2:3  Expected a name as the key' },
  { text: `version: ${'['.repeat(20_000)}`, problem: 'f:1:827  Expected at most 100 levels' },
  { text: `version: ${'['.repeat(200)}1${']'.repeat(200)}`, problem: /Expected at most 100 levels/ },
  { text: `# ${'x'.repeat(16 * 1_048_576)}`, problem: 'f:1:1  Expected at most 16777216 characters, got 16777218' },
])('tells that $problem', ({ text, problem }) => {
  const problems = problemsOf(text);
  if (typeof problem === 'string' && !text.includes('[[[[[')) expect(problems).toEqual([problem]);
  else expect(problems.join('\n')).toMatch(problem instanceof RegExp ? problem : /Expected at most 100 levels/);
});

it('stops at aliases that stand for more than a file could hold', () => {
  const ten = (name: string, of: string) => `${name}: &${name} [${Array(10).fill(of).join(', ')}]`;
  const bomb = [ten('a', 'x'), ...['b', 'c', 'd', 'e', 'f', 'g', 'h'].map((name, index) => ten(name, `*${'abcdefg'[index]}`))];
  expect(problemsOf(bomb.join('\n'))).toEqual(['f:5:36  e[7]  Expected aliases to stand for at most 100000 values in all']);
});
