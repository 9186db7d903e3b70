import type { TableOptions } from 'typeorm';
import { columnTypes } from './column-types.js';
import { complete } from './completion.js';
import type { Place, SchemaVersion } from './schema-version.js';
import { v8, vacuumOften } from './v8.js';

/** Version 9 adds the table of conditions: since when sources yield events that have to last before they become true. */
export const v9: SchemaVersion = {
  version: 9,
  migration: 'AddSparkConditions1796430000000',
  release: '0.2.0',
  tables,

  async up(place) {
    await complete(place, await tables(place));
    await vacuumOften(place, [place.names.plain.condition]);
  },

  async store(place) {
    await v8.store!(place);
    await vacuumOften(place, [place.names.plain.condition]);
  },

  async down({ runner, names }) {
    await runner.dropTable(names.plain.condition, true);
  },
};

async function tables(place: Place): Promise<TableOptions[]> {
  const { runner, names } = place;
  const { id, exact, subject } = await columnTypes(runner);
  const text = (name: string, length: number) => ({ name, ...exact(length) });
  const { condition } = names.plain;
  const index = (part: string) => `${condition.split('.').at(-1)!}_${part}`;
  return [
    ...(await v8.tables(place)),
    {
      name: condition,
      columns: [
        id,
        text('event_key', 255),
        text('source', 255),
        text('entity', 192),
        { name: 'entity_id', ...subject },
        { name: 'since', type: 'bigint', isNullable: true },
      ],
      indices: [
        { name: index('key'), columnNames: ['event_key'], isUnique: true },
        { name: index('subject'), columnNames: ['entity', 'entity_id'] },
      ],
    },
  ];
}
