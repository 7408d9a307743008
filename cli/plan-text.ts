/** A plan as a person reads it: what is made, changed and removed, line by line. */

import { limitText } from '../lib/config/limit-text.js';
import type { ScopeContent } from '../lib/config/scope-limits.js';
import type { Limit } from '../lib/core/limit.js';
import { countsOf, type Plan, type Step } from '../lib/manifest/plan.js';
import { thingText } from '../lib/manifest/thing.js';
import type { EntityState, ThingState } from '../lib/manifest/thing-state.js';

export interface PlanTextOptions {
  /** Every step, however many there are. @default false: the first twenty of each kind */
  readonly all?: boolean | undefined;
}

const SHOWN = 20;
const KINDS = [
  { action: 'create', sign: '+', verb: 'create' },
  { action: 'change', sign: '~', verb: 'change' },
  { action: 'remove', sign: '-', verb: 'remove' },
  { action: 'adopt', sign: '=', verb: 'manage from now on' },
] as const;

/** The lines of a plan, its summary last. */
export function planLines(plan: Plan, { all = false }: PlanTextOptions = {}): readonly string[] {
  const steps = KINDS.flatMap(({ action, sign, verb }) => {
    const these = plan.steps.filter((step) => step.action === action);
    const shown = all ? these : these.slice(0, SHOWN);
    const more = these.length - shown.length;
    return [
      ...shown.flatMap((step) => [`${sign} ${headline(step)}`, ...details(step).map((line) => `    ${line}`)]),
      ...(more > 0 ? [`${sign} … and ${counted(more)} more to ${verb}`] : []),
    ];
  });
  const kept = keptLines(plan, all);
  const body = [...steps, ...kept];
  return [...body, ...(body.length > 0 ? [''] : []), summary(plan)];
}

function headline(step: Step): string {
  const drift = step.drifted ? ' (changed by somebody else since it was applied)' : '';
  if (step.action !== 'remove') return `${thingText(step.thing)}${drift}`;
  if (step.from === null) return `${thingText(step.thing)} (is gone already: no longer managed)`;
  return `${thingText(step.thing)}${step.thing.kind === 'entity' ? ', with its keys and limits' : ''}${drift}`;
}

function details(step: Step): readonly string[] {
  switch (step.action) {
    case 'create':
      return stateLines(step.to);
    case 'change':
      return [...limitChanges(limitsOf(step.from), limitsOf(step.to)), ...fieldChanges(fieldsOf(step.from), fieldsOf(step.to))];
    default:
      return [];
  }
}

const stateLines = (state: ThingState): readonly string[] => [
  ...limitsOf(state).map(limitText),
  ...Object.entries(fieldsOf(state)).map(([field, value]) => `${field}: ${valueText(value)}`),
];

function limitChanges(from: readonly Limit[], to: readonly Limit[]): readonly string[] {
  const before = new Map(from.map((limit) => [limit.name, limitText(limit)]));
  const after = new Map(to.map((limit) => [limit.name, limitText(limit)]));
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names].flatMap((name) => {
    const [old, now] = [before.get(name), after.get(name)];
    if (old === now) return [];
    if (old === undefined) return [`+ ${now}`];
    return now === undefined ? [`- ${old}`] : [`~ ${old} -> ${now}`];
  });
}

function fieldChanges(from: Readonly<Record<string, unknown>>, to: Readonly<Record<string, unknown>>): readonly string[] {
  const names = new Set([...Object.keys(from), ...Object.keys(to)]);
  return [...names].flatMap((name) => {
    const [old, now] = [valueText(from[name]), valueText(to[name])];
    return old === now ? [] : [`~ ${name}: ${old} -> ${now}`];
  });
}

const limitsOf = (state: ThingState): readonly Limit[] => (state as Partial<ScopeContent>).limits ?? [];

/** All but the limits; of a root, nothing of what it draws on. */
function fieldsOf(state: ThingState): Readonly<Record<string, unknown>> {
  const { limits: _, ...fields } = state as Partial<ScopeContent>;
  const { cascade, ...entity } = fields as Partial<EntityState>;
  return entity.parent === undefined ? entity : { ...entity, cascade };
}

const valueText = (value: unknown): string =>
  value === undefined ? 'none' : typeof value === 'string' ? value : JSON.stringify(value);

function keptLines({ kept }: Plan, all: boolean): readonly string[] {
  const shown = all ? kept : kept.slice(0, SHOWN);
  const more = kept.length - shown.length;
  return [
    ...shown.map(({ thing, because }) => {
      const why = because === 'has children' ? 'it has children that no manifest manages' : '--prune removes it';
      return `  ${thingText(thing)} is no longer in the manifest and stays: ${why}`;
    }),
    ...(more > 0 ? [`  … and ${counted(more)} more that stay`] : []),
  ];
}

function summary(plan: Plan): string {
  const { create, change, remove, adopt, changes } = countsOf(plan);
  const unchanged = `${counted(plan.unchanged)} unchanged`;
  const adopted = adopt === 0 ? '' : `, ${counted(adopt)} as they should be and managed from now on`;
  if (changes === 0) return `Nothing to change: ${unchanged}${adopted}.`;
  return `Plan: ${counted(create)} to create, ${counted(change)} to change, ${counted(remove)} to remove; ${unchanged}${adopted}.`;
}

const counted = (number: number): string => number.toLocaleString('en-US');
