import { presetHead } from '../../lib/manifest/presets.js';
import { problemText } from '../../lib/manifest/problem.js';
import { readManifest } from '../../lib/manifest/read-manifest.js';

/** Whose pages the figures of a provider's presets may be from: these hosts, and those below them. */
const PUBLISHERS: Readonly<Record<string, readonly string[]>> = {
  anthropic: ['claude.com', 'anthropic.com'],
  bedrock: ['aws.amazon.com'],
  gemini: ['ai.google.dev'],
  openai: ['openai.com'],
};

/** What keeps a text from being the preset of a name: all that is wrong with it as a manifest, and what a preset has to say of itself. */
export function presetProblems(name: string, text: string, today: string): readonly string[] {
  const read = readManifest(text, { file: name });
  if ('problems' in read) return read.problems.map(problemText);
  const { title = '', urls, date = '' } = presetHead(text);
  const hosts = PUBLISHERS[name.split('/')[0] ?? ''] ?? [];
  const { namespace, entities, settings } = read.manifest;
  return [
    ...(title.trim() === '' ? ['Expected a title (description)'] : []),
    ...(urls.length === 0 ? ['Expected a source'] : []),
    ...urls.filter((url) => !isOf(url, hosts)).map((url) => `Expected https at ${hosts.join(' or ')}, got ${url}`),
    ...(isDay(date) && date <= today ? [] : [`Expected a day until ${today}, got ${date || 'none'}`]),
    ...(settings.length === 0 ? ['Expected limits or prices'] : []),
    ...(namespace === undefined &&
    entities.length === 0 &&
    settings.every(({ scope }) => Object.keys(scope).join() === 'resource')
      ? []
      : ['Expected nothing but resources and prices']),
  ];
}

function isOf(url: string, hosts: readonly string[]): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === 'https:' && hosts.some((host) => hostname === host || hostname.endsWith(`.${host}`));
}

/** `2026-02-30` is no day. */
function isDay(date: string): boolean {
  const time = Date.parse(`${date}T00:00:00Z`);
  return !Number.isNaN(time) && new Date(time).toISOString().startsWith(date);
}
