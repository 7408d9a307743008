import type { Command } from 'commander';
import type { ExplainedLevel } from '../../lib/config/explanation.js';
import { limitsText, parseLimitText, plainText } from '../../lib/config/limit-text.js';
import { scopeText } from '../../lib/config/scope-limits.js';
import type { ScopeOptions } from '../../lib/config/scope-rules.js';
import type { Limit } from '../../lib/core/limit.js';
import { type Answer, type Cell, done, fields, lines, type Table, table } from '../answer.js';
import type { Execute } from '../execute.js';
import { NotFound } from '../exit-codes.js';
import { schedulesTable } from '../schedule-table.js';
import { rulesOf, scopeOf, withRules, withScope } from '../scope-options.js';
import { addValidateCommand } from './manifest.js';
import { addPlanCommands } from './manifest-changes.js';
import { addExportCommand } from './manifest-export.js';

/** `headgate limits`: what is stored for each scope, and which of it applies. */
export function addLimitsCommands(root: Command, execute: Execute): void {
  const limits = root.command('limits').description('what is stored for each scope, and which of it applies');

  withScope(limits.command('get').description('the limits of a scope, and what is stored with them'))
    .addHelpText(
      'after',
      '\nExamples:\n  $ headgate limits get --system\n  $ headgate limits get --entity acme --resource gpt-4o',
    )
    .action((_options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        const scope = scopeOf(command.opts());
        const [stored = [], options] = await Promise.all([admin.getLimits(scope), admin.getOptions(scope)]);
        if (options === undefined) throw new NotFound(`Nothing is stored for ${scopeText(scope)}`);
        return {
          json: { scope, limits: stored, options },
          shown: [limitsTable(stored), ...schedulesTable(stored, Date.now()), ...optionLines(options)],
        };
      }),
    );

  withRules(withScope(limits.command('set').description('replace all that a scope is stored with: its limits and options')))
    .argument('[limits...]', 'NAME=AMOUNT/PERIOD[,option=value…][; CHANGE at CRON [TIME-ZONE]…]')
    .addHelpText('after', SET_HELP)
    .action((texts: string[], _options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        const scope = scopeOf(command.opts());
        const given = texts.map(parseLimitText);
        const options = rulesOf(command.opts());
        await admin.setLimits(scope, given, options);
        return {
          json: { scope, limits: given, options },
          shown: [lines({ text: `Stored for ${scopeText(scope)}. Limiters apply it within a minute.`, tone: 'good' })],
        };
      }),
    );

  withScope(limits.command('delete').description('remove what a scope is stored with: the next scope applies'))
    .addHelpText('after', '\nExample:\n  $ headgate limits delete --entity acme --resource gpt-4o')
    .action((_options: unknown, command: Command) =>
      execute(command, async ({ admin }) => {
        const scope = scopeOf(command.opts());
        if ((await admin.getOptions(scope)) === undefined) throw new NotFound(`Nothing is stored for ${scopeText(scope)}`);
        await admin.deleteLimits(scope);
        return done(`Deleted for ${scopeText(scope)}.`, { scope });
      }),
    );

  addValidateCommand(limits, execute);
  addPlanCommands(limits, execute);
  addExportCommand(limits, execute);

  limits
    .command('explain <entity> <resource>')
    .description('which limits apply to an entity on a resource, why, and what every other scope says')
    .addHelpText('after', '\nExample:\n  $ headgate limits explain key-1 gpt-4o')
    .action((entity: string, resource: string, _options: unknown, command: Command) =>
      execute(command, async ({ admin }): Promise<Answer> => {
        const explanation = await admin.explain({ entity, resource });
        const { levels, refusal } = explanation;
        return {
          json: explanation,
          shown: [
            ...(refusal === undefined ? [] : [lines({ text: refusal.message, tone: 'bad' })]),
            ...levels.flatMap((level) => [
              lines(level.why + switches(level)),
              ...appliedTables(level),
              table(
                ['scope', 'limits', 'options', 'applies'],
                level.scopes.map(({ scope, limits: stored, options, rules, wins }) => [
                  scope,
                  limitsText(stored ?? []) || '-',
                  optionsText({ ...options, ...rules }),
                  wins ? { text: 'yes', tone: 'good' as const } : 'no',
                ]),
              ),
            ]),
          ],
        };
      }),
    );
}

const SET_HELP = `
PERIOD of a limit: second, minute, hour, day, or a time (10s, 90m): refilled evenly, options burst=N
                   calendar-day, calendar-month: there again at midnight, option timeZone=Europe/Paris
                   session-5h: so much within that time of the first use
                   lease-2m: so many at a time, each at most so long
Options of all: mode=observe, counts=tokens; of limits that count tokens also input=1,cachedInput=0.1,output=5
Schedule: other figures at certain times, CRON being minute, hour, day, month and day of the week; the first that matches holds.
CHANGE: x0.5, 30/minute[,burst=N] of a refilled limit, or capacity=N. It is one word: quote it

Examples:
  $ headgate limits set --system rpm=60/minute tpm=100000/minute
  $ headgate limits set --entity acme --resource gpt-4o rpm=500/minute,burst=50 usd=5000000/calendar-month
  $ headgate limits set --tier free rpm=20/minute --allowed-resources 'gpt-4o*' --priority low
  $ headgate limits set --entity acme tpm=500000/minute --inherit
  $ headgate limits set --resource gpt-4o 'rpm=60/minute; x0.5 at * 9-16 * * 1-5 Europe/Paris'
  $ headgate limits set --resource gpt-4 --disabled`;

/** Limits in the notation in which they are set, less their schedules. */
const limitsTable = (limits: readonly Limit[]): Table =>
  table(
    ['limit', 'counts'],
    limits.map((limit): Cell[] => [plainText(limit), limit.counts]),
  );

/** Where each limit comes from, unless they all come from the scope that wins, and their forms where they have some. */
function appliedTables({ wins, limits }: ExplainedLevel): readonly Table[] {
  const rows = limits.map(({ limit, from }): Cell[] => [plainText(limit), from]);
  const from = limits.every((one) => one.from === wins) ? [] : [table(['limit', 'from'], rows)];
  const forms = schedulesTable(
    limits.map(({ limit }) => limit),
    Date.now(),
  );
  return [...from, ...forms];
}

function switches({ disabled, bypass }: { readonly disabled: boolean; readonly bypass: boolean }): string {
  return `${disabled ? ' It is disabled.' : ''}${bypass ? ' It is bypassed.' : ''}`;
}

/** What is stored beside limits; `shards=1` is no news. */
const toldOptions = (options: Readonly<Record<string, unknown>>): readonly (readonly [string, unknown])[] =>
  Object.entries(options).filter(([name, value]) => value !== undefined && !(name === 'shards' && value === 1));

function optionLines(options: ScopeOptions): readonly Table[] {
  const told = toldOptions({ ...options });
  return told.length === 0 ? [] : [fields(Object.fromEntries(told))];
}

function optionsText(options: Readonly<Record<string, unknown>>): string {
  const told = toldOptions(options);
  return told.length === 0 ? '-' : told.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(' ');
}
