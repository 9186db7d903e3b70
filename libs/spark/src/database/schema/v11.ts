import type { TableOptions } from 'typeorm';
import { columnTypes } from './column-types.js';
import { complete, dropColumn } from './completion.js';
import type { Place, SchemaVersion } from './schema-version.js';
import { v10 } from './v10.js';

/** Version 11 adds the table of alerts, and to each source what the watch for alerts last saw of its sweeps. */
export const v11: SchemaVersion = {
  version: 11,
  migration: 'AddSparkAlerts1796610000000',
  release: '0.2.0',
  tables,

  async up(place) {
    await complete(place, await tables(place));
  },

  store: (place) => v10.store!(place),

  async down(place) {
    const { runner, names } = place;
    await runner.dropTable(names.plain.alert, true);
    for (const { name } of await addedColumns(place)) await dropColumn(place, names.plain.sweep, name);
  },
};

const maybe = <C extends object>(column: C) => ({ ...column, isNullable: true });
const time = (name: string) => ({ name, type: 'bigint' });

/** The columns that this version adds to the table of sweeps. Processes of the previous release insert rows without them. */
async function addedColumns({ runner }: Place) {
  const { exact } = await columnTypes(runner);
  return [maybe(time('judged_missed')), maybe({ name: 'judged_place', ...exact(64) }), maybe(time('judged_since'))];
}

async function tables(place: Place): Promise<TableOptions[]> {
  const { runner, names } = place;
  const { id, exact, longText } = await columnTypes(runner);
  const added = await addedColumns(place);
  const former = (await v10.tables(place)).map((table) =>
    table.name === names.plain.sweep ? { ...table, columns: [...table.columns!, ...added] } : table,
  );
  const text = (name: string, length: number) => ({ name, ...exact(length) });
  const { alert } = names.plain;
  return [
    ...former,
    {
      name: alert,
      columns: [
        id,
        text('about', 32),
        text('subject', 255),
        time('since'),
        maybe(time('raised_at')),
        time('seen_at'),
        maybe(time('clear_at')),
        // 0 while it is not over, so that the unique index lets no second alert of a subject be open.
        { ...time('ended_at'), default: 0 },
        { name: 'figures', ...longText },
        maybe({ name: 'notified_raised', ...longText }),
        maybe({ name: 'notified_over', ...longText }),
        maybe(text('notifier', 64)),
        maybe(time('notifying_until')),
        { name: 'attempt', type: 'int', default: 0 },
      ],
      indices: [
        {
          name: `${alert.split('.').at(-1)!}_subject`,
          columnNames: ['ended_at', 'about', 'subject'],
          isUnique: true,
        },
      ],
    },
  ];
}
