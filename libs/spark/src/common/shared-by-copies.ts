/**
 * Something that all copies of this package in a process share, as a tree of packages may hold two: what one makes, the other has
 * to know.
 *
 * @param name what it is called, the same in all versions
 * @param make makes it where no copy has done so yet
 */
export function sharedByCopies<T>(name: string, make: () => T): T {
  const key = Symbol.for(`nestjs-spark.${name}`);
  const all = globalThis as unknown as Record<symbol, T | undefined>;
  return (all[key] ??= make());
}
