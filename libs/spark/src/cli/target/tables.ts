import type { QueryRunner } from 'typeorm';
import { migrationSql } from '../../database/schema/migration-sql.js';
import { migrateAll, type TablesState, tablesState } from '../../database/schema/schema.js';
import { withNewRunner } from '../../database/statement.js';
import { type OpenSchema, withSchema } from './open-schema.js';
import type { Target } from './target.js';

/** Compares the tables with those that this release needs. Throws what withSchema and tablesState throw. */
export const readTables = (target: Target): Promise<TablesState> =>
  working(target, (runner, { names }) => tablesState(runner, names));

/** Creates the tables, or changes them to the needed version. Returns their states before and after. Throws as readTables does. */
export const migrateTables = (target: Target) =>
  working(target, async (runner, { dialect, names }) => {
    const before = await tablesState(runner, names);
    if (before.pending.length + before.missing.length > 0) await migrateAll(runner.manager, dialect, names);
    return { before, after: await tablesState(runner, names) };
  });

/** Returns the state of the tables, and the statements that would change them. Throws as readTables does. */
export const planTables = (target: Target) =>
  withSchema(target, async ({ dataSource, names, prefix }) => {
    const state = await withNewRunner(dataSource, (runner) => tablesState(runner, names));
    return { state, statements: await migrationSql(dataSource, names, prefix, state) };
  });

const working = <T>(target: Target, work: (runner: QueryRunner, schema: OpenSchema) => Promise<T>): Promise<T> =>
  withSchema(target, (schema) => withNewRunner(schema.dataSource, (runner) => work(runner, schema)));
