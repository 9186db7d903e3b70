import type { TableColumnOptions, TableOptions } from 'typeorm';
import { columnTypes } from './column-types.js';
import { complete, dropColumn } from './completion.js';
import type { Place, SchemaVersion } from './schema-version.js';
import { v11 } from './v11.js';

/** Version 12 adds to events and rechecks which event has led to them. */
export const v12: SchemaVersion = {
  version: 12,
  migration: 'LinkSparkEvents1796700000000',
  release: '0.2.0',
  tables,

  async up(place) {
    await complete(place, await tables(place));
  },

  store: (place) => v11.store!(place),

  async down(place) {
    const { runner, names } = place;
    const found = await runner.getTable(names.plain.event);
    const index = found?.indices.find(({ name }) => name === indexOf(place));
    if (index) await runner.dropIndex(names.plain.event, index);
    for (const table of changed(place)) await dropColumn(place, table, CAUSED_BY.name);
  },
};

/** Processes of the previous release insert rows without it. */
const CAUSED_BY: TableColumnOptions & { readonly name: string } = {
  name: 'caused_by',
  type: 'bigint',
  isNullable: true,
};

const changed = ({ names }: Place): string[] => [names.plain.event, names.plain.recheck];

const indexOf = ({ names }: Place): string => `${names.plain.event.split('.').at(-1)!}_cause`;

async function tables(place: Place): Promise<TableOptions[]> {
  const { partialIndexes } = await columnTypes(place.runner);
  // Most events have no cause, and cost no entry of a partial index.
  const where = partialIndexes ? { where: `${CAUSED_BY.name} IS NOT NULL` } : {};
  const index = { name: indexOf(place), columnNames: [CAUSED_BY.name], ...where };
  return (await v11.tables(place)).map((table) => {
    if (!changed(place).includes(table.name)) return table;
    const indices = table.name === place.names.plain.event ? [...table.indices!, index] : (table.indices ?? []);
    return { ...table, columns: [...table.columns!, CAUSED_BY], indices };
  });
}
