/**
 * A value that all copies of this package in a process share. An application may have two copies installed, and each must find
 * what the other has stored.
 *
 * @param name the name of the value, the same in all versions
 * @param make creates the value if no copy has created it yet
 * @returns the shared value
 */
export function sharedByCopies<T>(name: string, make: () => T): T {
  const key = Symbol.for(`nestjs-spark.${name}`);
  const all = globalThis as unknown as Record<symbol, T | undefined>;
  return (all[key] ??= make());
}
