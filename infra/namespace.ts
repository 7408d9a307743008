/** The namespace of a deployment that names none, the same as the SDK's. */
export const DEFAULT_NAMESPACE = 'default';

/**
 * The `dynamodb:LeadingKeys` pattern (for StringLike) of every partition of one namespace, and of no other.
 * Throws unless the namespace has 1 to 256 bytes of UTF-8 without `#`: an empty one would match `#…`, which belongs to no tenant.
 *
 * A namespace may itself hold `*`, `?` or `$`. Unescaped, the namespace `*` would open every tenant's items, so each is written as
 * the policy variable that stands for the character itself (IAM user guide, "IAM policy elements: Variables and tags").
 */
export function leadingKeysOf(namespace: string): string {
  return `${literal(namespace)}#*`;
}

/** The patterns of the partitions that hold the usage of one namespace: of its entities, its resources, and all of it. Throws as `leadingKeysOf` does. */
export function usageKeysOf(namespace: string): readonly string[] {
  return ['e', 'r', 'ns'].map((kind) => `${literal(namespace)}#${kind}#*`);
}

/** The patterns of what an acquire writes in one namespace, and of what it reads of limits and entities. Throws as `leadingKeysOf` does. */
export function admissionKeysOf(namespace: string): {
  readonly buckets: readonly string[];
  readonly configuration: readonly string[];
} {
  const own = literal(namespace);
  return { buckets: [`${own}#b#*`], configuration: [`${own}#config`, `${own}#e#*`] };
}

/** The patterns of the API keys of one namespace. Throws as `leadingKeysOf` does. */
export const credentialKeysOf = (namespace: string): readonly string[] => [`${literal(namespace)}#key#*`];

function literal(namespace: string): string {
  const bytes = Buffer.byteLength(namespace);
  if (bytes < 1 || bytes > 256 || namespace.includes('#')) {
    throw new Error(`Expected the namespace to have 1 to 256 bytes and no '#', got '${namespace}' (${bytes} bytes)`);
  }
  return namespace.replace(/[*?$]/g, (character) => `\${${character}}`);
}
