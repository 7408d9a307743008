import { isDeepStrictEqual } from 'node:util';
import { atOnce } from '../../lib/at-once.js';
import { ancestryBelow, readEntities } from '../../lib/config/entity-record.js';
import { entityPk } from '../../lib/store/schema.js';
import type { TestBed } from '../support/stores.js';

/** What is wrong with a tree of entities: nothing, when every record, link, count and repeated ancestor agrees with every other. */
export async function faults({ store, namespace, admin }: TestBed): Promise<readonly string[]> {
  const names = await admin().entities();
  const stored = new Map((await readEntities(store, namespace, names)).map((one) => [one.record.entity, one]));
  const linked = await atOnce(names, 16, (name) => store.queryItems(entityPk(namespace, name), 'child#'));
  const linksOf = new Map(names.map((name, index) => [name, linked[index] ?? []]));
  const found: string[] = names.filter((name) => !stored.has(name)).map((name) => `${name} is listed and not there`);
  for (const [name, { record, ancestry, children, deleting }] of stored) {
    const links = (linksOf.get(name) ?? [])
      .map(({ sk }) => sk.slice('child#'.length))
      .sort()
      .join();
    const own = [...stored.values()]
      .filter((other) => other.record.parent === name)
      .map((other) => other.record.entity)
      .sort();
    if (links !== own.join()) found.push(`${name} links ${links} and has ${own.join()}`);
    if (children !== own.length) found.push(`${name} counts ${children} children and has ${own.length}`);
    if (deleting) found.push(`${name} is half deleted`);
    const parent = record.parent === undefined ? undefined : stored.get(record.parent);
    if (record.parent !== undefined && parent === undefined) found.push(`${name} has no parent ${record.parent}`);
    const wanted = parent === undefined ? [] : ancestryBelow(parent);
    if (!isDeepStrictEqual(wanted, ancestry)) found.push(`${name} repeats ${JSON.stringify(ancestry)}`);
    if (ancestry.length > 3) found.push(`${name} is too deep`);
    if (ancestry.some(({ entity }) => entity === name)) found.push(`${name} is its own ancestor`);
  }
  return found;
}
