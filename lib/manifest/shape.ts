/** Whether a document has the shape of a manifest: the published JSON Schema, and what its refusals mean. */
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js';
import schema from '../../schema/manifest.json' with { type: 'json' };
import { shown } from '../errors.js';
import { suggestion } from './problem.js';
import type { Fault, Path, YamlDocument } from './yaml-document.js';

interface Part {
  readonly title?: string;
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, unknown>>;
  readonly examples?: readonly unknown[];
}

let compiled: ValidateFunction | undefined;

/** Everything in which a document differs from the schema. */
export function shapeFaults(document: YamlDocument): readonly Fault[] {
  compiled ??= new Ajv2020({ allErrors: true, allowUnionTypes: true, verbose: true }).compile(schema);
  if (compiled(document.value)) return [];
  return (compiled.errors ?? []).map((error) => faultOf(document, error));
}

function faultOf(document: YamlDocument, { instancePath, keyword, params, parentSchema, data }: ErrorObject): Fault {
  const path = instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const part = (parentSchema ?? {}) as Part;
  const at = (where: Path, message: string, which?: 'key'): Fault => ({
    path: where,
    problem: document.problem(where, message, which),
  });
  if (keyword === 'additionalProperties') {
    const name = String((params as { readonly additionalProperty: unknown }).additionalProperty);
    const known = Object.keys(part.properties ?? {});
    const meant = suggestion(name, known);
    return at([...path, name], `Unknown field.${meant === '' ? ` Expected one of ${known.join(', ')}` : meant}`, 'key');
  }
  if (keyword === 'required') {
    const name = String((params as { readonly missingProperty: unknown }).missingProperty);
    return at([...path, name], 'Expected this field: it is missing');
  }
  return at(path, `Expected ${expectation(keyword, params as Params, part)}, got ${told(data)}`);
}

type Params = Readonly<Record<string, unknown>>;

function expectation(keyword: string, params: Params, part: Part): string {
  const { allowedValue, allowedValues } = params;
  const limit = String(params.limit);
  const examples = part.examples?.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))).join(', ');
  const such = examples === undefined ? '' : `, such as ${examples}`;
  switch (keyword) {
    case 'type':
      return typesText(part.type) + such;
    case 'const':
      return String(allowedValue);
    case 'enum':
      return `one of ${(allowedValues as readonly unknown[]).join(', ')}`;
    case 'minimum':
      return `at least ${limit}`;
    case 'exclusiveMinimum':
      return `more than ${limit}`;
    case 'maximum':
      return `at most ${limit}`;
    case 'minItems':
    case 'minProperties':
      return `at least ${limit} of them`;
    case 'maxItems':
      return `at most ${limit} of them`;
    default:
      return `another text${such}`;
  }
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'text',
  object: 'an object',
  array: 'a list',
  boolean: 'true or false',
  integer: 'an integer',
  number: 'a number',
};

function typesText(type: Part['type'] = []): string {
  const types = (Array.isArray(type) ? type : [type]).flatMap((one) => TYPES[one as string] ?? []);
  return types.join(' or ');
}

/** A value as a message shows it; nothing is what an empty value is in YAML. */
const told = (value: unknown): string => (value === null ? 'nothing' : shown(value));
