import { describe, expect, it } from 'vitest';
import { Limit } from '../../lib/core/limit.js';
import { eachStore } from '../support/stores.js';

const prices = { input: 2.5, cachedInput: 1.25, output: 10 };

describe.each(eachStore)('prices of a resource on the $name store', ({ fresh }) => {
  it('are stored with its limits or without any, and come back as they were given', async () => {
    const admin = (await fresh()).admin();
    await admin.setLimits({ resource: 'gpt-4o' }, [Limit.perMinute('rpm', 500)], { prices });
    await admin.setLimits({ resource: 'text-embedding-3-small' }, [], { prices: { input: 0.02, output: 0 } });

    expect(await admin.getOptions({ resource: 'gpt-4o' })).toEqual({ prices });
    expect(await admin.getOptions({ resource: 'text-embedding-3-small' })).toEqual({ prices: { input: 0.02, output: 0 } });
  });

  it('limit nobody: the next scope applies', async () => {
    const { admin, limiter } = await fresh();
    await admin().setLimits({ system: true }, [Limit.perMinute('rpm', 60)]);
    await admin().setLimits({ resource: 'gpt-4o' }, [], { prices });

    expect(await limiter().available({ entity: 'key-123', resource: 'gpt-4o' })).toEqual({ rpm: 60 });
  });

  it.each([
    { that: 'belong to a tier', scope: { tier: 'pro', resource: 'gpt-4o' }, given: prices, field: 'prices' },
    { that: 'belong to everybody', scope: { system: true } as const, given: prices, field: 'prices' },
    { that: 'are negative', scope: { resource: 'gpt-4o' }, given: { input: -1, output: 1 }, field: 'prices.input' },
    { that: 'lack the output', scope: { resource: 'gpt-4o' }, given: { input: 1 } as never, field: 'prices.output' },
  ])('are refused where they $that', async ({ scope, given, field }) => {
    const admin = (await fresh()).admin();
    const refused = admin.setLimits(scope, [Limit.perMinute('rpm', 1)], { prices: given });
    await expect(refused).rejects.toMatchObject({ code: 'InvalidArgument', field });
    expect(await admin.getOptions(scope)).toBeUndefined();
  });
});
