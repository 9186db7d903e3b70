import type { TableColumnOptions, TableOptions } from 'typeorm';
import { columnTypes } from './column-types.js';
import { complete, dropColumn } from './completion.js';
import type { Place, SchemaVersion } from './schema-version.js';
import { v9 } from './v9.js';

/**
 * Version 10 adds to each source which code of it processes have, since when, and which code was swept completely; and to each condition
 * whether it held before that. So Spark tells what was true before from what becomes true.
 */
export const v10: SchemaVersion = {
  version: 10,
  migration: 'AddSparkHistory1796520000000',
  release: '0.2.0',
  tables,

  async up(place) {
    await complete(place, await tables(place));
  },

  store: (place) => v9.store!(place),

  async down(place) {
    for (const [table, columns] of await addedColumns(place))
      for (const { name } of columns) await dropColumn(place, table, name);
  },
};

/** The columns that this version adds, by table. Processes of the previous release insert rows without them. */
async function addedColumns({ runner, names }: Place) {
  const { exact } = await columnTypes(runner);
  const maybe = <C extends object>(column: C) => ({ ...column, isNullable: true });
  return new Map<string, TableColumnOptions[]>([
    [
      names.plain.sweep,
      [
        maybe({ name: 'code', ...exact(64) }),
        maybe({ name: 'seen_code', ...exact(64) }),
        maybe({ name: 'seen_at', type: 'bigint' }),
      ],
    ],
    [names.plain.condition, [{ name: 'is_past', type: 'int', default: 0 }]],
  ]);
}

async function tables(place: Place): Promise<TableOptions[]> {
  const added = await addedColumns(place);
  return (await v9.tables(place)).map((table) => {
    const columns = added.get(table.name);
    return columns ? { ...table, columns: [...table.columns!, ...columns] } : table;
  });
}
