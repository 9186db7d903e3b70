import type { TableOptions } from 'typeorm';
import { columnTypes } from './column-types.js';
import { complete, dropColumn } from './completion.js';
import type { Place, SchemaVersion } from './schema-version.js';
import { v5 } from './v5.js';

/**
 * Version 6 adds the table of chores: work that one process does for all. It also adds the channel on which a process is notified alone:
 * empty if there is none at present, null for a process of the release before.
 */
export const v6: SchemaVersion = {
  version: 6,
  migration: 'AddSparkChores1796160000000',
  release: '0.2.0',
  tables,

  async up(place) {
    await complete(place, await tables(place));
  },

  async down(place) {
    const { runner, names } = place;
    await runner.dropTable(names.plain.chore, true);
    await dropColumn(place, names.plain.worker, 'channel');
  },
};

async function tables(place: Place): Promise<TableOptions[]> {
  const { runner, names } = place;
  const { exact } = await columnTypes(runner);
  const text = (name: string, length: number) => ({ name, ...exact(length) });
  const maybe = <C extends object>(column: C) => ({ ...column, isNullable: true });
  const former = (await v5.tables(place)).map((table) =>
    table.name === names.plain.worker ? { ...table, columns: [...table.columns!, maybe(text('channel', 63))] } : table,
  );
  return [
    ...former,
    {
      name: names.plain.chore,
      columns: [
        { ...text('name', 100), isPrimary: true },
        maybe({ name: 'done_at', type: 'bigint' }),
        maybe(text('holder', 64)),
        maybe({ name: 'held_until', type: 'bigint' }),
      ],
    },
  ];
}
