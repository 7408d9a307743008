import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, expectTypeOf, it } from 'vitest';
import type { NewEntity } from '../../lib/config/entities.js';
import type { ScopeOptions } from '../../lib/config/scope-rules.js';
import type { ModelPrices } from '../../lib/llm/prices.js';
import schema from '../../schema/manifest.json' with { type: 'json' };

const fieldsOf = (name: 'system' | 'resource' | 'tier' | 'entity') => Object.keys(schema.$defs[name].properties);

it('the schema is one of draft 2020-12, without a keyword that validators ignore', () => {
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true });
  expect(schema.$schema).toBe('https://json-schema.org/draft/2020-12/schema');
  expect(ajv.validateSchema(schema)).toBe(true);
  expect(() => ajv.compile(schema)).not.toThrow();
});

/** Each field of what is stored, and where the schema has it. A field more or less of the types does not compile. */
const OPTIONS: Readonly<Record<keyof ScopeOptions, readonly ('system' | 'resource' | 'tier')[]>> = {
  shards: ['system', 'resource', 'tier'],
  priorities: ['system', 'resource', 'tier'],
  disabled: ['system', 'resource', 'tier'],
  bypass: ['system', 'resource', 'tier'],
  inherit: ['resource', 'tier'],
  allowedResources: ['tier'],
  maxContextTokens: ['tier'],
  priority: ['tier'],
  defaultTier: ['system'],
  // By the resource's name, in a section of their own.
  prices: [],
};

it.each(Object.entries(OPTIONS))('the option %s has its place in the schema', (option, places) => {
  for (const place of ['system', 'resource', 'tier'] as const)
    expect({ place, has: fieldsOf(place).includes(option) }).toEqual({ place, has: places.includes(place) });
});

it('every field of an entity is in the schema', () => {
  const ENTITY = { parent: 1, cascade: 1, tier: 1, name: 1, metadata: 1 } as const;
  expectTypeOf<keyof typeof ENTITY | 'entity'>().toEqualTypeOf<keyof NewEntity>();
  expect(fieldsOf('entity')).toEqual(expect.arrayContaining(Object.keys(ENTITY)));
});

it('every part of a price is in the schema, also of one for long prompts', () => {
  const PRICE = { input: 1, cachedInput: 1, cacheWrite: 1, cacheWrite1h: 1, output: 1, longPrompt: 1 } as const;
  expectTypeOf<keyof typeof PRICE>().toEqualTypeOf<keyof ModelPrices>();
  const { properties } = schema.$defs.price;
  expect(Object.keys(properties)).toEqual(Object.keys(PRICE));
  const ofTokens = Object.keys(PRICE).filter((part) => part !== 'longPrompt');
  expect(Object.keys(properties.longPrompt.properties)).toEqual(['above', ...ofTokens]);
});

it('editors can tell what every field is: each has a title', () => {
  const untitled: string[] = [];
  const resolve = (part: { readonly $ref?: string }) =>
    part.$ref === undefined ? part : (schema.$defs as Readonly<Record<string, object>>)[part.$ref.slice('#/$defs/'.length)];
  const properties = (where: string, part: { readonly properties?: object }) => {
    for (const [name, field] of Object.entries(part.properties ?? {})) {
      let target: { readonly title?: string; readonly $ref?: string } | undefined = field;
      while (target?.title === undefined && target?.$ref !== undefined) target = resolve(target);
      if (target?.title === undefined) untitled.push(`${where}.${name}`);
    }
  };
  properties('', schema);
  for (const name of ['system', 'resource', 'tier', 'entity', 'limit', 'price'] as const) properties(name, schema.$defs[name]);
  expect(untitled).toEqual([]);
});

it.each(['limit', 'limits', 'shares'] as const)('the examples of %s are right by the schema itself', (name) => {
  const validate = new Ajv2020({ allowUnionTypes: true }).addSchema(schema).getSchema(`${schema.$id}#/$defs/${name}`);
  for (const example of schema.$defs[name].examples)
    expect({ example, right: validate?.(example) }).toEqual({ example, right: true });
});
