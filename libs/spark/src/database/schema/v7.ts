import type { TableOptions } from 'typeorm';
import { columnTypes } from './column-types.js';
import { complete, dropColumn } from './completion.js';
import type { Place, SchemaVersion } from './schema-version.js';
import { v6 } from './v6.js';

/** Version 7 adds the ranges of keys of running sweeps, so that all processes can share a sweep, and what sweeps know of each other. */
export const v7: SchemaVersion = {
  version: 7,
  migration: 'ShareSparkSweeps1796250000000',
  release: '0.2.0',
  tables,

  async up(place) {
    await complete(place, await tables(place));
  },

  async down(place) {
    const { runner, names } = place;
    await runner.dropTable(names.plain.sweep_range, true);
    for (const { name } of await addedColumns(place)) await dropColumn(place, names.plain.sweep, name);
  },
};

const maybe = <T extends { type: string }>(name: string, type: T) => ({ name, ...type, isNullable: true });

/** The columns that this version adds to the table of sweeps. Processes of the previous release insert rows without them. */
async function addedColumns({ runner }: Place) {
  const { exact, subject } = await columnTypes(runner);
  const count = (name: string) => ({ name, type: 'bigint', default: 0 });
  const time = { type: 'bigint' };
  return [
    count('round'),
    count('swept_round'),
    maybe('handed_out', subject),
    count('handed_all'),
    count('passed'),
    maybe('paused_at', time),
    maybe('fingerprint', exact(64)),
    maybe('changed_since', exact(64)),
    maybe('next_boundary', exact(64)),
    maybe('boundary', exact(64)),
    maybe('hindrance', exact(255)),
    maybe('why', exact(255)),
    maybe('full_at', time),
  ];
}

async function tables(place: Place): Promise<TableOptions[]> {
  const { runner, names } = place;
  const { exact, subject } = await columnTypes(runner);
  const added = await addedColumns(place);
  const former = (await v6.tables(place)).map((table) =>
    table.name === names.plain.sweep ? { ...table, columns: [...table.columns!, ...added] } : table,
  );
  const text = (name: string, length: number) => ({ name, ...exact(length) });
  return [
    ...former,
    {
      name: names.plain.sweep_range,
      columns: [
        { ...text('id', 64), isPrimary: true },
        text('source', 255),
        text('state', 10),
        maybe('after_key', subject),
        maybe('up_to', subject),
        maybe('reached', subject),
        maybe('size', { type: 'bigint' }),
        maybe('holder', exact(64)),
        maybe('held_until', { type: 'bigint' }),
        { name: 'subjects', type: 'bigint' },
        { name: 'found', type: 'bigint' },
        maybe('hindrance', exact(255)),
      ],
      indices: [{ name: `${names.plain.sweep_range.split('.').at(-1)!}_source`, columnNames: ['source', 'state'] }],
    },
  ];
}
