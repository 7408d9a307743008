import { HeadgateAdmin, type HeadgateAdminOptions, Limit } from '../lib/index.js';

/** What a fresh local system holds: a caller with a key, limits on a model of each provider, and limits on the providers. */
export const DEMO = {
  key: 'hg_demo_local',
  entity: 'demo',
  model: 'gpt-4o-mini',
  provider: 'openai',
  /** Models of the other providers, by the name that each has in the path. */
  others: { anthropic: 'claude-sonnet-5', gemini: 'gemini-3.5-flash', bedrock: 'amazon.nova-lite-v1:0' },
} as const;

/** Stores the demo unless it is there: a change someone made to it stays. */
export async function seedDemo(options: HeadgateAdminOptions): Promise<void> {
  const admin = new HeadgateAdmin(options);
  const { entity, model, provider, others, key } = DEMO;
  if ((await admin.getEntity(entity)) !== undefined) return;
  const ofModel = [Limit.perMinute('rpm', 20), Limit.perMinute('tpm', 10_000)];
  for (const resource of [model, ...Object.values(others)]) await admin.setLimits({ entity, resource }, ofModel);
  for (const resource of [provider, ...Object.keys(others)]) await admin.setLimits({ resource }, [Limit.perMinute('rpm', 600)]);
  await admin.createKey({ entity, secret: key });
  await admin.createEntity({ entity, name: 'Demo' });
}
