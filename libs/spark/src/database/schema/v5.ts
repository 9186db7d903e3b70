import { TableIndex, type TableOptions } from 'typeorm';
import { columnTypes } from './column-types.js';
import { complete, dropColumn } from './completion.js';
import type { Place, SchemaVersion } from './schema-version.js';
import { v4 } from './v4.js';

/**
 * Version 5 adds partitions of a handler's deliveries to the index of queues, and the table of limits that all processes share.
 */
export const v5: SchemaVersion = {
  version: 5,
  migration: 'PartitionSparkDeliveries1796070000000',
  release: '0.2.0',
  tables,

  async up(place) {
    await complete(place, await tables(place));
    await dropIndex(place, 'queue');
  },

  async down(place) {
    const { runner, names } = place;
    const delivery = (await v4.tables(place)).find(({ name }) => name === names.plain.delivery)!;
    const queue = delivery.indices!.find(({ name }) => name === indexOf(place, 'queue'))!;
    await dropIndex(place, 'partition');
    if (!(await indexNamed(place, queue.name!))) await runner.createIndex(names.plain.delivery, new TableIndex(queue));
    await runner.dropTable(names.plain.limit, true);
    await dropColumn(place, names.plain.delivery, 'partition_key');
    await dropColumn(place, names.plain.handler, 'partition_by');
  },
};

const COLUMNS = ['handler', 'suspect', 'priority', 'partition_key', 'due_at', 'id'];

async function tables(place: Place): Promise<TableOptions[]> {
  const { plain } = place.names;
  const { exact, longText, extraColumns, partialIndexes } = await columnTypes(place.runner);
  const key = { name: 'partition_key', ...exact(100) };
  const field = { name: 'partition_by', ...exact(100), isNullable: true };
  // On MariaDB and MySQL the type must not depend on the database's default.
  const long = (name: string) => ({ name, ...longText, ...(extraColumns.length > 0 ? { charset: 'utf8mb4' } : {}) });
  const partition = {
    name: indexOf(place, 'partition'),
    ...(partialIndexes
      ? { columnNames: COLUMNS, where: `state = 'available'` }
      : { columnNames: ['state', ...COLUMNS] }),
  };
  const former = (await v4.tables(place)).map((table) => {
    if (table.name === plain.handler) return { ...table, columns: [...table.columns!, field] };
    if (table.name !== plain.delivery) return table;
    return {
      ...table,
      columns: [...table.columns!, { ...key, default: `''` }],
      indices: [...table.indices!.filter(({ name }) => name !== indexOf(place, 'queue')), partition],
    };
  });
  const limit = {
    name: plain.limit,
    columns: [
      { name: 'handler', ...exact(100), isPrimary: true },
      { ...key, isPrimary: true },
      long('starts'),
      long('running'),
      { name: 'expires_at', type: 'bigint' },
    ],
  };
  return [...former, limit];
}

const indexOf = ({ names }: Place, part: string): string => `${names.plain.delivery.split('.').at(-1)!}_${part}`;

const indexNamed = async ({ runner, names }: Place, name: string) =>
  (await runner.getTable(names.plain.delivery))!.indices.find((index) => index.name === name);

async function dropIndex(place: Place, part: string): Promise<void> {
  const found = await indexNamed(place, indexOf(place, part));
  if (found) await place.runner.dropIndex(place.names.plain.delivery, found);
}
