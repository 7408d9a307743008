import {
  DIMENSION_SETS,
  type Dimension,
  dimensionValue,
  METRIC_NAMESPACE,
  METRICS,
  type MetricName,
} from '../lib/metric-catalogue.js';

/** What a value belongs to. `entity` is written beside it, for searches in the log, and is no dimension. */
export interface Labels {
  readonly resource?: string;
  readonly reason?: string;
  readonly entity?: string;
}

/** CloudWatch takes so many values of one metric from one line. */
const MOST_VALUES = 100;

interface Line {
  readonly labels: Labels;
  readonly values: Map<MetricName, number[]>;
}

/**
 * Collects values, and prints them as lines that CloudWatch Logs turns into metrics: one for each resource and reason, and mostly one in all.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 */
export class MetricLines {
  readonly #base: Readonly<Record<'Table' | 'Namespace', string>>;
  readonly #print: (line: string) => void;
  readonly #lines = new Map<string, Line>();

  constructor(table: string, namespace: string, print: (line: string) => void) {
    this.#base = { Table: dimensionValue(table), Namespace: dimensionValue(namespace) };
    this.#print = print;
  }

  /** Adds a value. Those of a count are summed up, others stay apart, so that CloudWatch knows their percentiles. */
  add(name: MetricName, value: number, labels: Labels = {}): void {
    const id = JSON.stringify([labels.resource, labels.reason, labels.entity]);
    const line = this.#lines.get(id) ?? { labels, values: new Map<MetricName, number[]>() };
    this.#lines.set(id, line);
    const values = line.values.get(name) ?? [];
    line.values.set(name, values);
    const isSum = METRICS[name].unit === 'Count' && name !== 'Attempts';
    if (isSum) values[0] = (values[0] ?? 0) + value;
    else values.push(value);
    if (values.length === MOST_VALUES) this.flush(Date.now());
  }

  /** Prints what was collected since the last time; nothing where there is nothing. `atMs`: when it happened. */
  flush(atMs: number): void {
    const lines = [...this.#lines.values()];
    this.#lines.clear();
    const base = lines.find(({ labels }) => labels.resource === undefined && labels.reason === undefined);
    // What has no labels rides on a line that has: each line costs.
    const [carrier = base, ...others] = lines.filter((line) => line !== base);
    if (carrier === undefined) return;
    this.#printed(atMs, carrier === base || base === undefined ? [carrier] : [carrier, base]);
    for (const line of others) this.#printed(atMs, [line]);
  }

  #printed(atMs: number, lines: readonly Line[]): void {
    const { resource, reason, entity } = lines[0]?.labels ?? {};
    const document = {
      _aws: { Timestamp: atMs, CloudWatchMetrics: lines.flatMap(directives) },
      ...this.#base,
      ...(resource !== undefined && { Resource: dimensionValue(resource) }),
      ...(reason !== undefined && { Reason: dimensionValue(reason) }),
      ...(entity !== undefined && { Entity: entity }),
      ...Object.fromEntries(
        lines.flatMap(({ values }) => [...values].map(([name, list]) => [name, list.length === 1 ? list[0] : list])),
      ),
    };
    this.#print(JSON.stringify(document));
  }
}

/** What CloudWatch is to make of a line: its metrics, together where they have the same dimensions. */
function directives({ labels, values }: Line): readonly object[] {
  const bySets = new Map<string, { Dimensions: readonly (readonly Dimension[])[]; Metrics: object[] }>();
  for (const name of values.keys()) {
    const sets = setsOf(name, labels);
    const directive = bySets.get(sets.join()) ?? { Dimensions: sets.map((set) => DIMENSION_SETS[set]), Metrics: [] };
    bySets.set(sets.join(), directive);
    directive.Metrics.push({ Name: name, Unit: METRICS[name].unit });
  }
  return [...bySets.values()].map((directive) => ({ Namespace: METRIC_NAMESPACE, ...directive }));
}

function setsOf(name: MetricName, { resource, reason }: Labels): readonly (keyof typeof DIMENSION_SETS)[] {
  if (resource !== undefined) return reason === undefined ? ['namespace', 'resource'] : ['limit'];
  if (reason !== undefined) return ['reason'];
  return METRICS[name].sets.filter((set) => set === 'namespace' || set === 'table');
}
