import type { DataSource } from 'typeorm';
import { DuplicateModuleError } from '../error/duplicate-module.error.js';
import { sharedByCopies } from '../common/shared-by-copies.js';

/** The DataSources that have a SparkModule, by application. */
const taken = sharedByCopies('modules', () => new WeakMap<object, WeakSet<DataSource>>());

/**
 * Reserves a DataSource of an application for one SparkModule. Throws DuplicateModuleError if another SparkModule has it, also one of
 * another copy of the package.
 *
 * @param application an object of which each application has exactly one
 */
export function takeDataSource(application: object, dataSource: DataSource, name = 'default'): void {
  const own = taken.get(application) ?? new WeakSet();
  if (own.has(dataSource)) throw new DuplicateModuleError(name);
  taken.set(application, own.add(dataSource));
}
