import { beforeEach, describe, expect, it } from 'vitest';
import type { HeadgateAdmin } from '../../lib/admin.js';
import { Limit } from '../../lib/core/limit.js';
import { HeadgateError } from '../../lib/errors.js';
import { RateLimitExceeded } from '../../lib/rate-limit-exceeded.js';
import { bucketPk } from '../../lib/store/schema.js';
import { eachStore, type StoreUnderTest, type TestBed } from '../support/stores.js';

const on = { entity: 'key-123', resource: 'gpt-4o-mini' };
const rph = (amount: number) => [Limit.perHour('rph', amount)];

describe.each(eachStore)('tiers on the $name store', ({ fresh }: StoreUnderTest) => {
  let bed: TestBed;
  let admin: HeadgateAdmin;
  const refused = async (request: object = {}) => {
    const limiter = bed.limiter();
    const error: unknown = await limiter.acquire({ ...on, consume: { rph: 1 }, ...request }).catch((caught: unknown) => caught);
    expect(limiter.stats().writes).toBe(0);
    return error;
  };

  beforeEach(async () => {
    bed = await fresh();
    admin = bed.admin();
    await admin.setLimits({ system: true }, rph(10));
    await admin.setLimits({ tier: 'free' }, rph(20), { allowedResources: ['gpt-4o*', 'claude-?'], maxContextTokens: 8_000 });
    await admin.setLimits({ tier: 'pro' }, rph(100));
    await admin.createEntity({ entity: 'key-123', tier: 'free' });
  });

  it('limit the entities that have them, and change with the entity', async () => {
    expect(await bed.limiter().available(on)).toEqual({ rph: 20 });

    await admin.updateEntity({ entity: 'key-123', tier: 'pro' });
    expect(await bed.limiter().available(on)).toEqual({ rph: 100 });

    await admin.updateEntity({ entity: 'key-123', tier: null });
    expect(await bed.limiter().available(on)).toEqual({ rph: 10 });
  });

  it.each([
    { resource: 'gpt-4o', allowed: true },
    { resource: 'gpt-4o-mini', allowed: true },
    { resource: 'claude-3', allowed: true },
    { resource: 'claude-35', allowed: false },
    { resource: 'gpt-4', allowed: false },
    { resource: 'my-gpt-4o', allowed: false },
  ])('that allow some resources: $resource, $allowed', async ({ resource, allowed }) => {
    if (allowed) {
      await bed.limiter().acquire({ ...on, resource, consume: { rph: 1 } });
      return;
    }
    const error = await refused({ resource });

    expect(error).toBeInstanceOf(HeadgateError);
    expect(error).not.toBeInstanceOf(RateLimitExceeded);
    expect(error).toMatchObject({ code: 'ResourceNotAllowed', entity: 'key-123', resource, tier: 'free' });
    expect(await bed.store.read(bed.bucket('key-123', resource))).toBeUndefined();
  });

  it('allow the resources of another part of a request as well, or none of it', async () => {
    expect(await refused({ also: [{ resource: 'gpt-4', consume: { rph: 1 } }] })).toMatchObject({ code: 'ResourceNotAllowed' });
  });

  it('do not apply to a request that carries its limits', async () => {
    await bed.limiter().acquire({ ...on, resource: 'gpt-4', consume: { rph: 1 }, limits: rph(1), contextTokens: 9_000 });
  });

  it.each([
    { when: 'the request says so', request: { contextTokens: 8_001 }, tokens: 8_001 },
    { when: 'a limit of tokens is charged so', request: { consume: { tpm: 8_001 } }, tokens: 8_001 },
    { when: 'input and output are charged so', request: { consume: { itpm: 5_000, otpm: 3_001 } }, tokens: 8_001 },
    { when: 'they are charged more than the total', request: { consume: { tpm: 10, itpm: 8_000, otpm: 1 } }, tokens: 8_001 },
  ])('refuse a call of more tokens than they allow, where $when', async ({ request, tokens }) => {
    await admin.setLimits({ tier: 'free', resource: 'gpt-4o-mini' }, [
      Limit.perMinute('tpm', 100_000),
      Limit.perMinute('itpm', 100_000),
      Limit.perMinute('otpm', 100_000),
    ]);

    const error = await refused(request);

    expect(error).not.toBeInstanceOf(RateLimitExceeded);
    expect(error).toMatchObject({ code: 'ContextTooLong', tier: 'free', maxContextTokens: 8_000, contextTokens: tokens });
  });

  it.each([
    { request: { contextTokens: 8_000 } },
    { request: { consume: { tpm: 8_000 } } },
    { request: { consume: { tpm: 8_001 }, contextTokens: 8_000 } },
  ])('admit a call of as many tokens as they allow: $request', async ({ request }) => {
    await admin.setLimits({ tier: 'free', resource: 'gpt-4o-mini' }, [Limit.perMinute('tpm', 100_000)]);

    await bed.limiter().acquire({ ...on, consume: { tpm: 1 }, ...request });
  });

  it('of the entities above are held to as well, also by one without limits of its own', async () => {
    await admin.createEntity({ entity: 'low', parent: 'key-123', tier: 'pro' });

    expect(await refused({ entity: 'low', resource: 'gpt-4' })).toMatchObject({ code: 'ResourceNotAllowed', entity: 'key-123' });
    expect(await refused({ entity: 'low', contextTokens: 8_001 })).toMatchObject({ code: 'ContextTooLong', entity: 'key-123' });
    await admin.updateEntity({ entity: 'key-123', tier: 'pro' });
    expect((await bed.limiter().status({ ...on, entity: 'low' })).limits).toMatchObject([
      { entity: 'low', capacity: 100 },
      { entity: 'key-123', capacity: 100 },
    ]);
  });

  it('give requests that state no priority theirs', async () => {
    await admin.setLimits({ tier: 'free' }, rph(20), { priority: 'low', priorities: { low: 0.5 } });
    const limiter = bed.limiter();

    await expect(limiter.acquire({ ...on, consume: { rph: 11 } })).rejects.toMatchObject({
      code: 'CostExceedsCapacity',
      share: 0.5,
    });
    await limiter.acquire({ ...on, consume: { rph: 11 }, priority: 'critical' });
  });

  it('may be rules alone: the limits of the next scope apply', async () => {
    await admin.setLimits({ tier: 'free' }, [], { allowedResources: ['gpt-4o*'] });

    expect(await bed.limiter().available(on)).toEqual({ rph: 10 });
    expect(await refused({ resource: 'gpt-4' })).toMatchObject({ code: 'ResourceNotAllowed' });
    expect(await admin.getLimits({ tier: 'free' })).toBeUndefined();
    expect(await admin.getOptions({ tier: 'free' })).toEqual({ allowedResources: ['gpt-4o*'] });
  });

  it('are one by default for entities without a record, and for no others', async () => {
    await admin.setLimits({ system: true }, rph(10), { defaultTier: 'free' });
    await admin.createEntity({ entity: 'recorded' });

    expect(await bed.limiter().available({ ...on, entity: 'unknown' })).toEqual({ rph: 20 });
    expect(await refused({ entity: 'unknown', resource: 'gpt-4' })).toMatchObject({ code: 'ResourceNotAllowed', tier: 'free' });
    expect(await bed.limiter().available({ ...on, entity: 'recorded' })).toEqual({ rph: 10 });
  });

  it('come back with the options they were stored with', async () => {
    const options = {
      priorities: { low: 0.2, normal: 0.5, high: 0.8, critical: 1 },
      priority: 'high' as const,
      maxContextTokens: 1,
    };
    await admin.setLimits({ tier: 'free' }, rph(20), options);

    expect(await admin.getOptions({ tier: 'free' })).toMatchObject(options);
    expect(await admin.getOptions({ tier: 'none' })).toBeUndefined();
  });

  it.each([
    { scope: { tier: 'a#b' }, options: {}, field: 'scope.tier' },
    { scope: { tier: 'a', entity: 'b' }, options: {}, field: 'scope' },
    { scope: { tier: 'a', system: true }, options: {}, field: 'scope' },
    { scope: {}, options: {}, field: 'scope' },
    { scope: { tier: 'a' }, options: { allowedResources: [] }, field: 'allowedResources' },
    { scope: { tier: 'a' }, options: { allowedResources: 'gpt-4' }, field: 'allowedResources' },
    { scope: { tier: 'a' }, options: { allowedResources: ['ok', ''] }, field: 'allowedResources[1]' },
    { scope: { tier: 'a' }, options: { maxContextTokens: 0 }, field: 'maxContextTokens' },
    { scope: { tier: 'a' }, options: { maxContextTokens: 1.5 }, field: 'maxContextTokens' },
    { scope: { tier: 'a' }, options: { priority: 'urgent' }, field: 'priority' },
    { scope: { tier: 'a', resource: 'r' }, options: { priority: 'low' }, field: 'priority' },
    { scope: { entity: 'a' }, options: { allowedResources: ['gpt-4'] }, field: 'allowedResources' },
    { scope: { resource: 'a' }, options: { maxContextTokens: 5 }, field: 'maxContextTokens' },
    { scope: { tier: 'a' }, options: { defaultTier: 'free' }, field: 'defaultTier' },
    { scope: { system: true }, options: { defaultTier: '' }, field: 'defaultTier' },
    { scope: { entity: 'a' }, options: { disabled: 'yes' }, field: 'disabled' },
    { scope: { entity: 'a' }, options: { bypass: 1 }, field: 'bypass' },
    { scope: { entity: 'a' }, options: { disable: true }, field: 'options.disable' },
  ])('are refused for $field of $scope with $options, and nothing is stored', async ({ scope, options, field }) => {
    await expect(admin.setLimits(scope as never, rph(1), options as never)).rejects.toMatchObject({
      code: 'InvalidArgument',
      field,
    });
  });

  it('without limits and rules are refused', async () => {
    await expect(admin.setLimits({ tier: 'a' }, [])).rejects.toMatchObject({ field: 'limits' });
    await expect(admin.setLimits({ tier: 'a' }, [], { priorities: true })).rejects.toMatchObject({ field: 'limits' });
  });
});

describe.each(eachStore)('what is disabled on the $name store', ({ fresh }: StoreUnderTest) => {
  let bed: TestBed;
  let admin: HeadgateAdmin;
  const outcome = (entity = 'key-123') =>
    bed
      .limiter()
      .acquire({ ...on, entity, consume: { rph: 1 } })
      .then(
        () => 'admitted',
        (error: { code: string; scope: string }) => `${error.code} by ${error.scope}`,
      );

  beforeEach(async () => {
    bed = await fresh();
    admin = bed.admin();
    await admin.setLimits({ system: true }, rph(10));
    await admin.createEntity({ entity: 'key-123', tier: 'pro' });
  });

  const scopes = [
    { name: 'entity+resource', scope: on },
    { name: 'entity', scope: { entity: 'key-123' } },
    { name: 'tier+resource', scope: { tier: 'pro', resource: 'gpt-4o-mini' } },
    { name: 'tier', scope: { tier: 'pro' } },
    { name: 'resource', scope: { resource: 'gpt-4o-mini' } },
    { name: 'system', scope: { system: true } as const },
  ];

  it.each(scopes)(
    'by $name is not admitted: an error that is no RateLimitExceeded, and nothing is written',
    async ({ name, scope }) => {
      await admin.setLimits(scope, rph(5), { disabled: true });
      const limiter = bed.limiter();

      const error: unknown = await limiter.acquire({ ...on, consume: { rph: 1 } }).catch((caught: unknown) => caught);

      expect(error).not.toBeInstanceOf(RateLimitExceeded);
      expect(error).toMatchObject({ code: 'ResourceDisabled', entity: 'key-123', resource: 'gpt-4o-mini', scope: name });
      await expect(limiter.tryAcquire({ ...on, consume: { rph: 1 } })).rejects.toMatchObject({ code: 'ResourceDisabled' });
      await expect(limiter.available(on)).rejects.toMatchObject({ code: 'ResourceDisabled' });
      expect(limiter.stats().writes).toBe(0);
      expect((await limiter.status(on)).limits).toMatchObject([{ limit: 'rph', capacity: 5 }]);
    },
  );

  it.each(scopes.slice(1))('by $name outranks limits that are stored for the pair', async ({ name, scope }) => {
    await admin.setLimits(scope, [], { disabled: true });
    await admin.setLimits(on, rph(50));

    expect(await outcome()).toBe(`ResourceDisabled by ${name}`);
  });

  it.each(scopes.slice(1))('by $name is not for the one pair that is exempt', async ({ scope }) => {
    await admin.setLimits(scope, rph(5), { disabled: true });
    await admin.setLimits(on, [], { disabled: false });

    expect(await outcome()).toBe('admitted');
  });

  it('by the resource stays so for others than the exempt entity', async () => {
    await admin.setLimits({ resource: 'gpt-4o-mini' }, [], { disabled: true });
    await admin.setLimits({ entity: 'key-123' }, [], { disabled: false });

    expect(await outcome()).toBe('admitted');
    expect(await outcome('key-124')).toBe('ResourceDisabled by resource');
  });

  it('of an entity is so for what is below it, unless that does not cascade', async () => {
    await admin.createEntity({ entity: 'low', parent: 'key-123' });
    await admin.createEntity({ entity: 'alone', parent: 'key-123', cascade: false });
    await admin.setLimits({ entity: 'key-123' }, [], { disabled: true });

    expect(await outcome('low')).toBe('ResourceDisabled by entity');
    expect(await outcome('alone')).toBe('admitted');
  });

  it('is admitted again once nothing says so any more', async () => {
    await admin.setLimits({ entity: 'key-123' }, [], { disabled: true });
    await admin.deleteLimits({ entity: 'key-123' });

    expect(await outcome()).toBe('admitted');
  });

  it('does not concern a request that carries its limits', async () => {
    await admin.setLimits({ system: true }, [], { disabled: true });

    expect((await bed.limiter().tryAcquire({ ...on, consume: { rph: 1 }, limits: rph(1) })).granted).toBe(true);
  });

  it('is said so even where nothing is limited', async () => {
    await admin.setLimits({ system: true }, [], { disabled: true });

    expect(await outcome()).toBe('ResourceDisabled by system');
    expect(await bed.store.queryItems(bucketPk(bed.bucket()), '')).toEqual([]);
  });
});
