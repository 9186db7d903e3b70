import type { TableOptions } from 'typeorm';
import { columnTypes } from './column-types.js';
import { complete, escaped } from './completion.js';
import type { Place, SchemaVersion } from './schema-version.js';
import { v8 } from './v8.js';

/** Version 9 adds the table of conditions: since when sources yield events that have to last before they become true. */
export const v9: SchemaVersion = {
  version: 9,
  migration: 'AddSparkConditions1796430000000',
  release: '0.2.0',
  tables,

  async up(place) {
    await complete(place, await tables(place));
    await storeConditions(place);
  },

  async store(place) {
    await v8.store!(place);
    await storeConditions(place);
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

/** Rows of conditions come and go. Autovacuum begins after changes of so many rows, as for the other tables. */
async function storeConditions({ runner, names }: Place): Promise<void> {
  if (runner.dataSource.options.type !== 'postgres') return;
  const settings =
    'autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, ' +
    'autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02';
  await runner.query(`ALTER TABLE ${escaped(runner, names.plain.condition)} SET (${settings})`);
}
