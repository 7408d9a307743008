import { atOnce } from '../at-once.js';
import type { NewEntity } from '../config/entities.js';
import { entityNames } from '../config/entity-directory.js';
import { type EntityRecord, readEntities } from '../config/entity-record.js';
import { scopeContent } from '../config/scope-limits.js';
import { configPk, ENTITY_LIMITS_SK, entityPk } from '../store/schema.js';
import type { Item, Store } from '../store/store.js';
import type { Manifest, ScopeSetting } from './manifest.js';
import { thingOf } from './thing.js';

const AT_ONCE = 16;

/**
 * Everything that is stored in a namespace, managed or not, as the manifest that says it: planned against the same store it is empty. Reads the
 * configuration, the directory, each entity's record and each entity's limits. Throws `InvalidArgument` for an item that was made illegal by hand.
 */
export async function storedManifest(store: Store, namespace: string): Promise<Manifest> {
  const configured = await store.queryItems(configPk(namespace), '');
  const names = [...(await entityNames(store, namespace, {}))].sort();
  const limits = await atOnce(names, AT_ONCE, (name) => store.queryItems(entityPk(namespace, name), ENTITY_LIMITS_SK));
  const stored = await readEntities(store, namespace, names);
  const records = stored.filter(({ deleting }) => !deleting).map(({ record }) => record);
  return {
    namespace,
    settings: [
      ...configured.map((item) => settingOf(item.sk, item)),
      ...names.flatMap((name, index) => (limits[index] ?? []).map((item) => settingOf(`entity#${name}#${item.sk}`, item))),
    ],
    entities: [...records].sort((a, b) => a.ancestors.length - b.ancestors.length).map(entityOf),
  };
}

function settingOf(id: string, item: Item): ScopeSetting {
  const thing = thingOf(id);
  const content = scopeContent(item);
  if (thing.kind !== 'setting' || content === undefined) throw new Error(`${id} is no setting`);
  const { limits, ...options } = content;
  return { scope: thing.scope, limits, options };
}

function entityOf({ entity, parent, cascade, tier, name, metadata }: EntityRecord): NewEntity {
  return {
    entity,
    ...(parent !== undefined && { parent, ...(!cascade && { cascade }) }),
    ...(tier !== undefined && { tier }),
    ...(name !== undefined && { name }),
    ...(metadata !== undefined && { metadata }),
  };
}
