/** The child's end of child.ts. */

/** What the parent gave. */
export const childArguments = <T>(): T => JSON.parse(process.argv[2] ?? 'null') as T;

/** Tells the parent. */
export function report(message: unknown): void {
  process.send?.(message);
}
