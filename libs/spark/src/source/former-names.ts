import type { EntityManager } from 'typeorm';
import type { Dialect } from '../database/dialect.js';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import type { Source } from './source.js';

/**
 * Copies the state of sweeps from the old names of sources to their new names. So a sweep continues where the old name was, and
 * groups that were swept under the old name do not count as history again. The old rows stay, because processes of the former version
 * may still run.
 */
export async function adoptSweeps(
  manager: EntityManager,
  dialect: Dialect,
  { sweep, group }: TableNames,
  sources: readonly Source[],
): Promise<void> {
  for (const { name, options } of sources) {
    const known = await select(manager, `SELECT source FROM ${sweep} WHERE source = :name`, { name });
    for (const alias of known.length > 0 ? [] : (options.aliases ?? [])) {
      const columns =
        'slot, began_at, reached, baseline, swept_at, finished_at, found, missed, paused_at, code, seen_code, seen_at';
      const state = `INTO ${sweep} (source, ${columns}) SELECT :name, ${columns} FROM ${sweep} WHERE source = :alias`;
      await execute(manager, dialect.insertOrIgnore(state), { name, alias });
      const groups = `INTO ${group} (source, name, swept_at) SELECT :name, name, swept_at FROM ${group} WHERE source = :alias`;
      await execute(manager, dialect.insertOrIgnore(groups), { name, alias });
    }
  }
}
