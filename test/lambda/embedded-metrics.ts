import { Ajv } from 'ajv';
import { vi } from 'vitest';
import { DIMENSION_SETS, METRICS, type MetricName } from '../../lib/metric-catalogue.js';

interface Directive {
  readonly Namespace: string;
  readonly Dimensions: readonly (readonly string[])[];
  readonly Metrics: readonly { readonly Name: MetricName; readonly Unit: string }[];
}

export type Document = Readonly<Record<string, unknown>> & {
  readonly _aws: { readonly Timestamp: number; readonly CloudWatchMetrics: readonly Directive[] };
};

const text = (most: number) => ({ type: 'string', minLength: 1, maxLength: most }) as const;
const UNITS = ['Count', 'Milliseconds', 'Bytes', 'Percent', 'None'];

/** The rules of the specification that can be told in a schema, as CloudWatch Logs holds lines to them. */
const validate = new Ajv({ allowUnionTypes: true }).compile({
  type: 'object',
  required: ['_aws'],
  properties: {
    _aws: {
      type: 'object',
      required: ['Timestamp', 'CloudWatchMetrics'],
      additionalProperties: false,
      properties: {
        Timestamp: { type: 'integer', minimum: 1_600_000_000_000, maximum: 4_000_000_000_000 },
        CloudWatchMetrics: {
          type: 'array',
          minItems: 1,
          items: {
            type: 'object',
            required: ['Namespace', 'Dimensions', 'Metrics'],
            additionalProperties: false,
            properties: {
              Namespace: text(255),
              Dimensions: {
                type: 'array',
                minItems: 1,
                items: { type: 'array', minItems: 1, maxItems: 30, uniqueItems: true, items: text(250) },
              },
              Metrics: {
                type: 'array',
                minItems: 1,
                maxItems: 100,
                items: {
                  type: 'object',
                  required: ['Name', 'Unit'],
                  additionalProperties: false,
                  properties: { Name: text(255), Unit: { enum: UNITS } },
                },
              },
            },
          },
        },
      },
    },
  },
  additionalProperties: { type: ['string', 'number', 'array'], minLength: 1, maxItems: 100, items: { type: 'number' } },
});

/** One metric of one dimension set, as CloudWatch would store it. */
export interface Stored {
  readonly name: MetricName;
  readonly dimensions: Readonly<Record<string, string>>;
  readonly values: readonly number[];
}

/** What CloudWatch makes of a line. Throws for a line that it would drop, and for one that the catalogue does not know. */
export function storedOf(line: string): readonly Stored[] {
  const document = JSON.parse(line) as Document;
  if (line.includes('\n') || !validate(document))
    throw new Error(`no embedded metrics: ${line}: ${JSON.stringify(validate.errors)}`);
  return document._aws.CloudWatchMetrics.flatMap(({ Namespace, Dimensions, Metrics }) =>
    Dimensions.flatMap((keys) =>
      Metrics.map(({ Name: name, Unit: unit }): Stored => {
        const { unit: known, sets } = METRICS[name] as {
          readonly unit: string;
          readonly sets: readonly (keyof typeof DIMENSION_SETS)[];
        };
        if (Namespace !== 'Headgate' || unit !== known || !sets.some((set) => DIMENSION_SETS[set].join() === keys.join()))
          throw new Error(`not in the catalogue: ${Namespace} ${name} ${unit} by ${keys.join()}`);
        return {
          name,
          dimensions: Object.fromEntries(keys.map((key) => [key, dimension(document[key], key)])),
          values: numbers(document[name], name),
        };
      }),
    ),
  );
}

function dimension(value: unknown, key: string): string {
  if (typeof value !== 'string' || !/^[!-9;-~][ -~]{0,249}$/.test(value))
    throw new Error(`no value of a dimension: ${key} ${JSON.stringify(value)}`);
  return value;
}

function numbers(value: unknown, name: string): readonly number[] {
  const values = [value].flat();
  if (values.length === 0 || !values.every((each): each is number => Number.isFinite(each)))
    throw new Error(`no numbers: ${name} ${JSON.stringify(value)}`);
  return values;
}

/** The lines that `work` prints to standard output: those of metrics, and no others. */
export async function printed(work: () => Promise<unknown>): Promise<readonly string[]> {
  const chunks: string[] = [];
  const spy = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => chunks.push(String(chunk)) > 0);
  try {
    await work();
  } finally {
    spy.mockRestore();
  }
  return chunks
    .join('')
    .split('\n')
    .filter((line) => line.includes('"_aws"'));
}

/** The values of a metric, by its dimensions without the table and the namespace: `''`, `gpt-4`, `gpt-4 rpm`. */
export function valuesOf(lines: readonly string[], name: MetricName): Readonly<Record<string, readonly number[]>> {
  const values: Record<string, readonly number[]> = {};
  for (const stored of lines.flatMap(storedOf)) {
    if (stored.name !== name) continue;
    const { Table: _table, Namespace: _namespace, ...rest } = stored.dimensions;
    const key = Object.values(rest).join(' ');
    values[key] = [...(values[key] ?? []), ...stored.values];
  }
  return values;
}
