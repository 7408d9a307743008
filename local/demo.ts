import { HeadgateAdmin, type HeadgateAdminOptions, Limit } from '../lib/index.js';

/** What a fresh local system holds: a caller with a key, limits on one model, and limits on the provider. */
export const DEMO = { key: 'hg_demo_local', entity: 'demo', model: 'gpt-4o-mini', provider: 'openai' } as const;

/** Stores the demo unless it is there: a change someone made to it stays. */
export async function seedDemo(options: HeadgateAdminOptions): Promise<void> {
  const admin = new HeadgateAdmin(options);
  const { entity, model, provider, key } = DEMO;
  if ((await admin.getEntity(entity)) !== undefined) return;
  await admin.setLimits({ entity, resource: model }, [Limit.perMinute('rpm', 20), Limit.perMinute('tpm', 10_000)]);
  await admin.setLimits({ resource: provider }, [Limit.perMinute('rpm', 600)]);
  await admin.createKey({ entity, secret: key });
  await admin.createEntity({ entity, name: 'Demo' });
}
