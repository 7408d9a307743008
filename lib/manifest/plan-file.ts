import { checkEntity } from '../config/entities.js';
import { type ScopeContent, scopeItem } from '../config/scope-limits.js';
import { InvalidArgument } from '../errors.js';
import { checkFields, checkName } from '../names.js';
import type { Plan } from './plan.js';
import { type Thing, thingId, thingKey } from './thing.js';
import type { EntityState, ThingState } from './thing-state.js';

const ACTIONS = ['create', 'change', 'adopt', 'remove'];

/** The plan that was kept as JSON. Throws `InvalidArgument` for what is none, and for steps that could not be done. */
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
    checkThing(step.thing, `${field}.thing`);
    checkFields(step.on, ['stored', 'change'], `${field}.on`);
    if (!ACTIONS.includes(step.action)) throw notAPlan(`${field}.action`, step.action);
    if (step.action === 'create' || step.action === 'change') checkState(step.thing, step.to, `${field}.to`);
    // What is stored may be anything.
    if (step.action === 'change') checkObject(step.from, `${field}.from`);
    const id = thingId(step.thing);
    if (ids.has(id)) throw notAPlan(`${field}.thing`, step.thing);
    ids.add(id);
  });
  kept.forEach((one: Plan['kept'][number], index) => {
    checkFields(one, ['thing', 'because'], `plan.kept[${index}]`);
    checkThing(one.thing, `plan.kept[${index}].thing`);
  });
  return value as Plan;
}

/** Throws for names and scopes that are none. */
function checkThing(thing: Thing, field: string): void {
  checkFields(thing, ['kind', 'scope', 'entity'], field);
  if (thing.kind === 'entity') checkName(thing.entity, `${field}.entity`);
  else if (thing.kind === 'setting') thingKey('-', thing);
  else throw notAPlan(field, thing);
}

/** Throws for what cannot be stored. */
function checkState(thing: Thing, state: ThingState, field: string): void {
  checkObject(state, field);
  try {
    if (thing.kind === 'entity') checkEntity({ ...(state as EntityState), entity: thing.entity });
    else {
      const { limits, ...options } = state as ScopeContent;
      scopeItem('-', thing.scope, limits, options);
    }
  } catch (error) {
    if (!(error instanceof InvalidArgument)) throw error;
    throw new InvalidArgument({ field: `${field}.${error.field}`, value: error.value, expected: error.expected });
  }
}

const checkObject = (value: unknown, field: string): void => checkFields(value, Object.keys(Object(value)), field);

const notAPlan = (field: string, value: unknown): InvalidArgument =>
  new InvalidArgument({ field, value, expected: 'as it was planned: the JSON of a plan' });
