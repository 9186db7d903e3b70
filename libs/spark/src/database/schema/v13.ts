import type { TableOptions } from 'typeorm';
import { columnTypes } from './column-types.js';
import { complete } from './completion.js';
import type { Place, SchemaVersion } from './schema-version.js';
import { v12 } from './v12.js';
import { vacuumOften } from './v8.js';

/**
 * Version 13 adds the tables of digests: to which key the deliveries belong that wait for their window to end, and when keys were last
 * called. They are beside the table of deliveries, so that deliveries of other handlers have no entry in an index of keys.
 */
export const v13: SchemaVersion = {
  version: 13,
  migration: 'AddSparkDigests1796790000000',
  release: '0.2.0',
  tables,

  async up(place) {
    await complete(place, await tables(place));
    await vacuumOften(place, added(place));
  },

  async store(place) {
    await v12.store!(place);
    await vacuumOften(place, added(place));
  },

  async down(place) {
    for (const table of added(place)) await place.runner.dropTable(table, true);
  },
};

const added = ({ names: { plain } }: Place): string[] => [plain.gathered, plain.throttle];

async function tables(place: Place): Promise<TableOptions[]> {
  const { exact } = await columnTypes(place.runner);
  const { gathered, throttle } = place.names.plain;
  const handler = { name: 'handler', ...exact(100) };
  const key = { name: 'batch_key', ...exact(255) };
  return [
    ...(await v12.tables(place)),
    {
      name: gathered,
      columns: [{ name: 'delivery_id', type: 'bigint', isPrimary: true }, handler, key],
      indices: [{ name: `${gathered.split('.').at(-1)!}_key`, columnNames: ['handler', 'batch_key'] }],
    },
    {
      name: throttle,
      columns: [
        { ...handler, isPrimary: true },
        { ...key, isPrimary: true },
        { name: 'until_at', type: 'bigint' },
      ],
    },
  ];
}
