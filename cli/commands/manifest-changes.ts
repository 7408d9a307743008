import { readFileSync, writeFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import { InvalidArgument } from '../../lib/errors.js';
import type { ApplyResult } from '../../lib/manifest/apply.js';
import { conflictText } from '../../lib/manifest/conflict.js';
import type { Drift } from '../../lib/manifest/drift.js';
import type { Manifest } from '../../lib/manifest/manifest.js';
import { openManifest } from '../../lib/manifest/open-manifest.js';
import { countsOf, type Plan } from '../../lib/manifest/plan.js';
import { parsePlan } from '../../lib/manifest/plan-file.js';
import { thingText } from '../../lib/manifest/thing.js';
import { type Answer, type Cell, type Lines, lines, table } from '../answer.js';
import { confirmed } from '../confirmation.js';
import type { Connection } from '../connection.js';
import type { Execute } from '../execute.js';
import { EXIT } from '../exit-codes.js';
import { planLines } from '../plan-text.js';
import { progress } from '../progress.js';
import { adminOf, namespaceOf, problemsAnswer, withFile } from './manifest.js';

interface PlanFlags {
  readonly file: string;
  readonly prune?: true;
  readonly all?: true;
  readonly out?: string;
  readonly exitCode?: true;
}

interface ApplyFlags extends PlanFlags {
  readonly plan?: string;
  readonly yes?: true;
  readonly json?: true;
}

/** `headgate limits plan`, `apply` and `drift`: from what is stored to what a manifest says. */
export function addPlanCommands(limits: Command, execute: Execute): void {
  withPlan(
    limits.command('plan').description('what would have to change so that the table holds what a manifest says; changes nothing'),
  )
    .option('--out <path>', 'keep the plan in a file, for `limits apply --plan`')
    .option('--exit-code', 'end with 7 where something would change')
    .addHelpText(
      'after',
      '\nExamples:\n  $ headgate limits plan -f headgate.yaml\n  $ headgate limits plan -f headgate.yaml --prune --all',
    )
    .action((_options: unknown, command: Command) =>
      execute(command, async (connection): Promise<Answer> => {
        const { file, prune, all, out, exitCode } = command.opts<PlanFlags>();
        const read = openManifest(file);
        if ('problems' in read) return problemsAnswer(read.problems);
        const plan = await planned(connection, command, read.manifest, prune);
        if (out !== undefined) writeFileSync(out, `${JSON.stringify(plan, null, 2)}\n`);
        const differs = exitCode && countsOf(plan).changes > 0;
        return { json: plan, shown: [shownPlan(plan, all)], exitCode: differs ? EXIT.differs : EXIT.done };
      }),
    );

  withPlan(limits.command('apply').description('make the table hold what a manifest says, after showing what changes'))
    .addOption(
      new Option('--plan <path>', 'apply the plan kept in a file, instead of planning anew').conflicts(['file', 'prune']),
    )
    .option('--yes', 'apply without asking')
    .addHelpText('after', '\nExamples:\n  $ headgate limits apply -f headgate.yaml --yes')
    .action((_options: unknown, command: Command) =>
      execute(command, (connection) => applied(connection, command, command.optsWithGlobals<ApplyFlags>())),
    );

  limits
    .command('drift')
    .description('what was changed or deleted by hand since a manifest was applied')
    .option('--exit-code', 'end with 7 where there is any')
    .addHelpText('after', '\nExample:\n  $ headgate limits drift')
    .action((_options: unknown, command: Command) =>
      execute(command, async (connection): Promise<Answer> => {
        const drift = await adminOf(connection, connection.namespace).drift();
        const differs = command.opts<PlanFlags>().exitCode && drift.length > 0;
        return { json: drift, shown: [shownDrift(drift)], exitCode: differs ? EXIT.differs : EXIT.done };
      }),
    );
}

const withPlan = (command: Command): Command =>
  withFile(command)
    .option('--prune', 'remove what manifests manage and this one no longer names; entities with their keys')
    .option('--all', 'show every change, however many there are');

/** Fewer steps are done before a bar can be read. */
const LONG_STEPS = 100;

async function applied(connection: Connection, command: Command, flags: ApplyFlags): Promise<Answer> {
  const { file, prune, all, yes = false, json = false } = flags;
  let plan: Plan;
  if (flags.plan === undefined) {
    const read = openManifest(file);
    if ('problems' in read) return problemsAnswer(read.problems);
    plan = await planned(connection, command, read.manifest, prune);
  } else {
    plan = parsePlan(planText(flags.plan));
  }
  const admin = adminOf(connection, namespaceOf(command, plan.namespace));
  if (plan.steps.length === 0) return resultAnswer(plan, await admin.apply(plan), [shownPlan(plan, all)]);
  const isAsked = !yes && process.stdin.isTTY && process.stderr.isTTY;
  if (isAsked) process.stderr.write(`${planLines(plan, { all }).join('\n')}\n\n`);
  await confirmed('Apply this?', yes);
  const total = plan.steps.length;
  const shows = progress('Applying:', { total, silent: json || total < LONG_STEPS });
  try {
    const result = await admin.apply(plan, { onProgress: ({ done }) => shows.at(done, `${done} of ${total} steps`) });
    return resultAnswer(plan, result, isAsked ? [] : [shownPlan(plan, all)]);
  } finally {
    shows.end();
  }
}

function resultAnswer(plan: Plan, result: ApplyResult, before: readonly Lines[]): Answer {
  if (result.applied) {
    const text =
      plan.steps.length === 0 ? [] : [lines({ text: `Applied as revision ${result.revision}.`, tone: 'good' as const })];
    return { json: { ...result, ...countsOf(plan) }, shown: [...before, ...text] };
  }
  const extent =
    result.written === 0
      ? 'Nothing was changed.'
      : `${result.written} of ${plan.steps.length} steps were done; plan and apply again.`;
  const conflicts = result.conflicts.map((conflict) => ({ text: `Conflict: ${conflictText(conflict)}.`, tone: 'bad' as const }));
  return { json: result, shown: [...before, lines(...conflicts, { text: extent, tone: 'bad' })], exitCode: EXIT.conflict };
}

function planned(connection: Connection, command: Command, manifest: Manifest, prune: true | undefined): Promise<Plan> {
  const admin = adminOf(connection, namespaceOf(command, manifest.namespace));
  return admin.plan(manifest, { prune });
}

const TONES: Readonly<Record<string, 'good' | 'warning' | 'bad'>> = { '+': 'good', '~': 'warning', '-': 'bad' };

const shownPlan = (plan: Plan, all: true | undefined): Lines =>
  lines(...planLines(plan, { all }).map((text): Cell => ({ text, tone: TONES[text[0] ?? ''] ?? 'plain' })));

function shownDrift(drift: readonly Drift[]): Lines | ReturnType<typeof table> {
  if (drift.length === 0) return lines({ text: 'Everything is as it was applied.', tone: 'good' });
  return table(
    ['what', 'was', 'by', 'at'],
    drift.map(({ thing, kind, last }) => [thingText(thing), kind, last?.actor ?? '', last?.at ?? '']),
  );
}

function planText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new InvalidArgument({ field: '--plan', value: path, expected: 'a file that can be read', cause: error });
  }
}
