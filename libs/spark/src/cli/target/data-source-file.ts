import { type DataSource, InstanceChecker } from 'typeorm';
import { lineOf, shown } from '../../error/text-of.js';
import { CommandError, MisuseError } from '../command.error.js';
import { loadFile } from './load-file.js';

/**
 * Loads the DataSource that a file exports, and connects it. It synchronizes nothing and runs no migration, whatever its options say.
 *
 * @throws MisuseError if the file has no DataSource, or several; CommandError if the database does not answer
 */
export async function connectDataSource(file: string): Promise<DataSource> {
  const { path, exports } = await loadFile(file, 'data source');
  const dataSource = await dataSourceIn(path, exports);
  if (dataSource.isInitialized) return dataSource;
  dataSource.setOptions({ synchronize: false, migrationsRun: false, dropSchema: false, logging: [] });
  try {
    return await dataSource.initialize();
  } catch (error) {
    throw new CommandError(`The database of ${shown(path)} cannot be used: ${lineOf(error)}`, undefined, {
      cause: error,
    });
  }
}

async function dataSourceIn(path: string, exports: Readonly<Record<string, unknown>>): Promise<DataSource> {
  const values = await Promise.all(Object.values(exports));
  const found = [...new Set(values)].filter((value): value is DataSource => InstanceChecker.isDataSource(value));
  if (found.length === 1) return found[0]!;
  const names = Object.keys(exports).map(shown).join(', ') || 'nothing';
  throw new MisuseError(
    found.length === 0
      ? `${shown(path)} exports no TypeORM DataSource. It exports ${names}. Write: export default new DataSource({ … })`
      : `${shown(path)} exports ${found.length} DataSources: ${names}. Name a file that exports one.`,
  );
}
