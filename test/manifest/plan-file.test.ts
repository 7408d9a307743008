import { expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { planManifest } from '../../lib/manifest/plan.js';
import { parsePlan } from '../../lib/manifest/plan-file.js';
import { memory } from '../support/stores.js';
import { company, manifests } from './companies.js';

/** The text of a plan with these steps and this much that is kept. */
const planOf = (steps: string, kept = '') =>
  `{"namespace":"n","base":{"revision":0,"writes":0},"prune":false,"steps":[${steps}],"unchanged":0,"kept":[${kept}]}`;
const ENTITY = '"thing":{"kind":"entity","entity":"a"},"on":{"stored":false}';
const SYSTEM = '"thing":{"kind":"setting","scope":{"system":true}},"on":{"stored":false}';

it('comes back from its text as it was, and can be applied', async () => {
  const bed = await memory.fresh();
  const door = manifests(bed);
  await door.apply(await door.plan(company(14)));
  await bed.admin().setLimits({ tier: 'pro' }, [Limit.perMinute('rpm', 7)]);
  await bed.admin().deleteLimits({ system: true });
  const plan = await planManifest(bed.store, company(12, 70), { namespace: bed.namespace, prune: true });

  const parsed = parsePlan(JSON.stringify(plan));

  expect(parsed).toEqual(plan);
  expect(new Set(parsed.steps.map(({ action }) => action))).toEqual(new Set(['create', 'change', 'remove']));
  expect(await door.apply(parsed)).toEqual({ applied: true, revision: 2 });
});

it.each([
  { text: 'steps', message: 'Expected plan to be as it was planned: the JSON of a plan, got "steps"' },
  { text: '[]', message: 'Expected plan to be an object, got []' },
  { text: '{"namespace":"n","steps":[]}', message: 'Expected plan.base to be an object, got undefined' },
  {
    text: planOf(`{"action":"drop",${ENTITY}}`),
    message: 'Expected plan.steps[0].action to be as it was planned: the JSON of a plan, got "drop"',
  },
  {
    text: planOf('{"action":"create","thing":{"kind":"entity","entity":"a#b"},"on":{"stored":false},"to":{}}'),
    message: 'Expected plan.steps[0].thing.entity to be 1 to 256 bytes of printable UTF-8 without #, got "a#b"',
  },
  {
    text: planOf('{"action":"adopt","thing":{"kind":"key"},"on":{"stored":false}}'),
    message: 'Expected plan.steps[0].thing to be as it was planned: the JSON of a plan, got {"kind":"key"}',
  },
  {
    text: planOf(`{"action":"adopt",${ENTITY}},{"action":"adopt",${ENTITY}}`),
    message: 'Expected plan.steps[1].thing to be as it was planned: the JSON of a plan, got {"kind":"entity","entity":"a"}',
  },
  { text: planOf(`{"action":"create",${SYSTEM}}`), message: 'Expected plan.steps[0].to to be an object, got undefined' },
  {
    text: planOf(`{"action":"create",${SYSTEM},"to":{"limits":[],"disabled":true,"shards":0}}`),
    message: 'Expected plan.steps[0].to.shards to be an integer from 1 to 64, got 0',
  },
  {
    text: planOf(`{"action":"create",${ENTITY},"to":{"cascade":"yes"}}`),
    message: 'Expected plan.steps[0].to.cascade to be true or false, got "yes"',
  },
  {
    text: planOf(`{"action":"change",${ENTITY},"to":{"cascade":false}}`),
    message: 'Expected plan.steps[0].from to be an object, got undefined',
  },
  { text: planOf('', '{"because":"has children"}'), message: 'Expected plan.kept[0].thing to be an object, got undefined' },
])('refuses what is no plan, or none that could be done: $message', ({ text, message }) => {
  expect(() => parsePlan(text)).toThrow(expect.objectContaining({ code: 'InvalidArgument', message }) as Error);
});
