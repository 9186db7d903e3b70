import { groupOf } from '../command.js';
import { migrateSqlCommand } from './migrate-sql.js';
import { migrateStatusCommand } from './migrate-status.js';
import { migrateUpCommand } from './migrate-up.js';

/** `spark migrate`: the tables themselves. */
export const migrateCommands = () =>
  groupOf('migrate', "Creates Spark's tables, or changes them to the version of this release", [
    migrateStatusCommand(),
    migrateUpCommand(),
    migrateSqlCommand(),
  ]);
