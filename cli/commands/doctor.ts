import type { Command } from 'commander';
import { type Answer, type Cell, lines, type Tone, table } from '../answer.js';
import type { Connection } from '../connection.js';
import type { Check, Finding } from '../doctor/check.js';
import { checkClock } from '../doctor/clock.js';
import { checkConfiguration } from '../doctor/configuration.js';
import { checkPermissions } from '../doctor/permissions.js';
import { checkSettings } from '../doctor/settings.js';
import { checkTable } from '../doctor/table.js';
import type { Execute } from '../execute.js';
import { EXIT } from '../exit-codes.js';

const CHECKS: readonly Check[] = [checkTable, checkPermissions, checkClock, checkConfiguration];

/** `headgate doctor`: whether Headgate can work here, and what to do where it cannot. */
export function addDoctor(root: Command, execute: Execute): void {
  root
    .command('doctor')
    .description('whether Headgate can work here: settings, table, stream, TTL, permissions, clock, limits; changes nothing')
    .action((_options: unknown, command: Command) =>
      execute(command, async (connection) => answered(await examined(connection))),
    );
}

/** Without a region or credentials nothing else can be asked. */
async function examined(connection: Connection): Promise<readonly Finding[]> {
  const findings = [...(await checkSettings(connection))];
  if (findings.some(({ state }) => state === 'failed')) return findings;
  for (const check of CHECKS) findings.push(...(await check(connection)));
  return findings;
}

const TONES: Readonly<Record<Finding['state'], Tone>> = { ok: 'good', warning: 'warning', failed: 'bad', skipped: 'plain' };

function answered(checks: readonly Finding[]): Answer {
  const healthy = checks.every(({ state }) => state !== 'failed');
  const remedies = checks.flatMap(({ check, remedy }) => (remedy === undefined ? [] : [`${check}: ${remedy}`]));
  return {
    json: { healthy, checks },
    shown: [
      table(
        ['check', 'state', 'found'],
        checks.map(({ check, state, found }): Cell[] => [check, { text: state, tone: TONES[state] }, found]),
      ),
      ...(remedies.length === 0 ? [] : [lines('What to do:', ...remedies)]),
    ],
    exitCode: healthy ? EXIT.done : EXIT.unwell,
  };
}
