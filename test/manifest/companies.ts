/** Manifests of the tests of plans and applies. */
import { Limit } from '../../lib/core/limit.js';
import type { Manifest } from '../../lib/manifest/manifest.js';
import { ManifestAdmin, type ManifestAdminOptions } from '../../lib/manifest/manifest-admin.js';
import type { TestBed } from '../support/stores.js';

export const NOTHING: Manifest = { namespace: undefined, settings: [], entities: [] };

/** An operator's door to manifests of a bed. */
export function manifests({ store, namespace, clock }: TestBed, options: Partial<ManifestAdminOptions> = {}): ManifestAdmin {
  return new ManifestAdmin({ store, namespace, clock, actor: 'operator', ...options });
}

/** A manifest of so many entities, three levels deep, each with limits of its own on a resource: twice as many things, and three more. */
export function company(entities: number, rpm = 60): Manifest {
  const roots = Math.ceil(entities / 100);
  const teams = Math.ceil(entities / 10);
  const names = Array.from({ length: entities }, (_, index) => {
    const parent =
      index < roots ? undefined : index < teams ? `acme-${index % roots}` : `team-${roots + (index % (teams - roots))}`;
    const kind = index < roots ? 'acme' : index < teams ? 'team' : 'key';
    return { entity: `${kind}-${index}`, parent };
  });
  return {
    namespace: undefined,
    settings: [
      { scope: { system: true }, limits: [Limit.perMinute('rpm', rpm)], options: {} },
      { scope: { resource: 'gpt-4o' }, limits: [Limit.perMinute('rpm', rpm)], options: { shards: 2 } },
      { scope: { tier: 'pro' }, limits: [Limit.perMinute('rpm', rpm)], options: { allowedResources: ['gpt-4o*'] } },
      ...names.map(({ entity }) => ({
        scope: { entity, resource: 'gpt-4o' },
        limits: [Limit.perMinute('rpm', rpm), Limit.perMinute('tpm', 60_000)],
        options: {},
      })),
    ],
    entities: names.map(({ entity, parent }) => ({ entity, parent, tier: 'pro', name: `Name of ${entity}` })),
  };
}

/**
 * A company of so many entities as it is after so many reorganisations. Between one and the next about two of five limits change, two of ten names,
 * a few keys move to another team, and the last twentieth of the keys come or go.
 */
export function reorganised(entities: number, round: number): Manifest {
  const { settings, entities: members, ...rest } = company(entities);
  const indexOf = (entity: string) => Number(entity.split('-')[1]);
  const isThere = (entity: string) => round % 2 === 0 || indexOf(entity) < entities * 0.95;
  const firstTeam = Math.ceil(entities / 100);
  const teams = Math.ceil(entities / 10) - firstTeam;
  return {
    ...rest,
    settings: settings
      .filter(({ scope }) => !('entity' in scope) || isThere(scope.entity))
      .map((one) => {
        const isChanged = 'entity' in one.scope && indexOf(one.scope.entity) % 5 === round % 5;
        return isChanged ? { ...one, limits: [Limit.perMinute('rpm', 100 + round)] } : one;
      }),
    entities: members
      .filter(({ entity }) => isThere(entity))
      .map((one) => (indexOf(one.entity) % 10 === round % 10 ? { ...one, name: `Renamed in round ${round}` } : one))
      .map((one) => {
        const moves = one.entity.startsWith('key') && indexOf(one.entity) % 50 === 10;
        return moves ? { ...one, parent: `team-${firstTeam + (round % teams)}` } : one;
      }),
  };
}
