import type { DataSource } from 'typeorm';
import { DuplicateModuleError } from '../error/duplicate-module.error.js';
import { sharedByCopies } from '../common/shared-by-copies.js';

/** The DataSources that have a SparkModule, by application. */
const taken = sharedByCopies('modules', () => new WeakMap<object, WeakSet<DataSource>>());

/**
 * Gives a DataSource of an application to its one SparkModule. Throws DuplicateModuleError where it is given already: to one of
 * another copy of the package, too.
 *
 * @param application what each application has one of
 */
export function takeDataSource(application: object, dataSource: DataSource, name = 'default'): void {
  const own = taken.get(application) ?? new WeakSet();
  if (own.has(dataSource)) throw new DuplicateModuleError(name);
  taken.set(application, own.add(dataSource));
}
