import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { presetNames } from '../../lib/manifest/presets.js';
import { BuiltCli } from './cli-process.js';

let cli: BuiltCli;

beforeAll(async () => {
  cli = await BuiltCli.build();
});
afterAll(() => cli.remove());

/** Runs it against no database at all. */
const presets = (...args: readonly string[]) =>
  cli.run(['presets', ...args], { AWS_ENDPOINT_URL_DYNAMODB: 'http://127.0.0.1:1' });

describe('headgate presets', () => {
  it('lists every preset with what it is and when it was read', async () => {
    const { code, stdout } = await presets('list');
    const lines = stdout.trimEnd().split('\n');
    expect(code).toBe(0);
    expect(lines[0]).toBe('preset\twhat\tread');
    expect(lines.slice(1).map((line) => line.split('\t')[0])).toEqual(presetNames());
    expect(lines).toContain('anthropic/start\tAnthropic API, usage tier Start\t2026-09-29');
  });

  it('shows limits, prices and source of one', async () => {
    const { code, stdout } = await presets('show', 'anthropic/start');
    expect(code).toBe(0);
    expect(stdout.split('\n')).toEqual(
      expect.arrayContaining([
        'source\thttps://platform.claude.com/docs/en/api/rate-limits',
        'resource claude-haiku-4-5\trpm=1000/minute itpm=2000000/minute,input=1,cachedInput=0 otpm=400000/minute\t$1\t$0.1\t$1.25\t$5',
      ]),
    );
    const json = JSON.parse((await presets('show', 'anthropic/prices', '--json')).stdout);
    expect(json).toMatchObject({ name: 'anthropic/prices', title: 'Anthropic API, prices of tokens', date: '2026-10-08' });
    expect(json.settings).toHaveLength(14);
  });

  it('knows no preset of another name, and which one was meant', async () => {
    expect(await presets('show', 'anthropic/stort')).toEqual({
      code: 4,
      stdout: '',
      stderr: 'headgate: There is no preset anthropic/stort. Did you mean anthropic/start?\n',
    });
  });
});
