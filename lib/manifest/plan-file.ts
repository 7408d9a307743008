import { InvalidArgument } from '../errors.js';
import { checkFields, checkName } from '../names.js';
import type { Plan } from './plan.js';
import { thingId, thingKey } from './thing.js';

const ACTIONS = ['create', 'change', 'adopt', 'remove'];

/** The plan that was kept as JSON. Throws `InvalidArgument` for what is none; what its steps say is checked where they are applied. */
export function parsePlan(text: string): Plan {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw notAPlan('plan', text);
  }
  checkFields(value, ['namespace', 'base', 'prune', 'steps', 'unchanged', 'kept'], 'plan');
  const { namespace, base, steps, unchanged, kept } = value as Partial<Plan>;
  checkName(namespace, 'plan.namespace');
  checkFields(base, ['revision', 'writes'], 'plan.base');
  if (!Number.isSafeInteger(base?.revision) || !Number.isSafeInteger(base?.writes)) throw notAPlan('plan.base', base);
  if (!Number.isSafeInteger(unchanged) || !Array.isArray(kept)) throw notAPlan('plan', value);
  if (!Array.isArray(steps)) throw notAPlan('plan.steps', steps);
  const ids = new Set<string>();
  steps.forEach((step: Plan['steps'][number], index) => {
    const field = `plan.steps[${index}]`;
    checkFields(step, ['action', 'thing', 'on', 'drifted', 'from', 'to'], field);
    checkFields(step.thing, ['kind', 'scope', 'entity'], `${field}.thing`);
    checkFields(step.on, ['stored', 'change'], `${field}.on`);
    if (!ACTIONS.includes(step.action)) throw notAPlan(`${field}.action`, step.action);
    // Throws for names and scopes that are none.
    if (step.thing.kind === 'setting') thingKey(namespace, step.thing);
    else checkName(step.thing.entity, `${field}.thing.entity`);
    const id = thingId(step.thing);
    if (ids.has(id)) throw notAPlan(`${field}.thing`, step.thing);
    ids.add(id);
  });
  return value as Plan;
}

const notAPlan = (field: string, value: unknown): InvalidArgument =>
  new InvalidArgument({ field, value, expected: 'as it was planned: the JSON of a plan' });
