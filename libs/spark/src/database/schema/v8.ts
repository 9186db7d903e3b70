import { isPostgres } from '../traits.js';
import { escaped } from './present-tables.js';
import { type PostgresIndex, postgresIndexes } from './postgres-indexes.js';
import type { Place, SchemaVersion } from './schema-version.js';
import { v7 } from './v7.js';

/**
 * Version 8 changes how PostgreSQL stores the tables. Sweeps read known keys from the index alone, the removal of contexts writes less
 * to indexes, and autovacuum does not wait for a part of the history. On other databases it changes nothing.
 */
export const v8: SchemaVersion = {
  version: 8,
  migration: 'StoreSparkTables1796340000000',
  release: '0.2.0',
  tables: (place) => v7.tables(place),

  async up(place) {
    await v7.up(place);
    await store(place);
  },

  store,

  async down(place) {
    if (!isPostgres(place.runner.dataSource)) return;
    const { runner, names } = place;
    await replaceKeys(place, []);
    await runner.query(`ALTER TABLE ${escaped(runner, names.plain.event)} RESET (fillfactor)`);
    for (const table of vacuumed(names.plain))
      await runner.query(`ALTER TABLE ${escaped(runner, table)} RESET (${Object.keys(VACUUM).join(', ')})`);
  },
};

/** Autovacuum begins after changes of so many rows, however many rows a table has. */
const VACUUM = {
  autovacuum_vacuum_scale_factor: 0.01,
  autovacuum_vacuum_threshold: 1_000,
  autovacuum_vacuum_insert_scale_factor: 0.01,
  autovacuum_analyze_scale_factor: 0.02,
};

// A context that is removed leaves a smaller row. With this much room on a page, most of these rows stay on theirs.
const FILLFACTOR = 75;

/** What sweeps compare of a key that is known. */
const INCLUDED = ['event_group', 'entity', 'entity_id'];

/** The tables that grow, or whose rows come and go. */
const vacuumed = ({ event, delivery, recheck, attempt, worker, limit }: Place['names']['plain']): string[] => [
  event,
  delivery,
  recheck,
  attempt,
  worker,
  limit,
];

async function store(place: Place): Promise<void> {
  if (!isPostgres(place.runner.dataSource)) return;
  const { runner, names } = place;
  await replaceKeys(place, INCLUDED);
  await runner.query(`ALTER TABLE ${escaped(runner, names.plain.event)} SET (fillfactor = ${FILLFACTOR})`);
  await vacuumOften(place, vacuumed(names.plain));
}

/** Lets autovacuum begin early on tables, on PostgreSQL. */
export async function vacuumOften({ runner }: Place, tables: readonly string[]): Promise<void> {
  if (!isPostgres(runner.dataSource)) return;
  const settings = Object.entries(VACUUM).map(([name, value]) => `${name} = ${value}`);
  for (const table of tables) await runner.query(`ALTER TABLE ${escaped(runner, table)} SET (${settings.join(', ')})`);
}

/** Lets the unique index of keys hold other columns besides. It uses an index that was created for that before. */
async function replaceKeys(place: Place, included: readonly string[]): Promise<void> {
  const { runner, names } = place;
  const event = escaped(runner, names.plain.event);
  const key = `${names.plain.event.split('.').at(-1)!}_key`;
  const next = included.length > 0 ? `${key}_covering` : `${key}_plain`;
  const indexes = await postgresIndexes(runner, [event]);
  const named = (name: string) => indexes.find((index) => index.name === name);
  if (isOnKeys(named(key), included)) return;
  if (!isOnKeys(named(next), included)) {
    await runner.query(`DROP INDEX IF EXISTS ${pathOf(place, next)}`);
    const columns = included.length > 0 ? `(event_key) INCLUDE (${included.join(', ')})` : '(event_key)';
    await runner.query(`CREATE UNIQUE INDEX "${next}" ON ${event} ${columns}`);
  }
  await runner.query(`DROP INDEX IF EXISTS ${pathOf(place, key)}`);
  await runner.query(`ALTER INDEX ${pathOf(place, next)} RENAME TO "${key}"`);
}

const isOnKeys = (index: PostgresIndex | undefined, included: readonly string[]): boolean =>
  index !== undefined &&
  index.isUnique &&
  index.isValid &&
  index.columnNames.join() === 'event_key' &&
  index.included.toSorted().join() === included.toSorted().join();

/** An index of the table of events in SQL, with its schema. */
const pathOf = ({ runner, names }: Place, index: string): string =>
  escaped(runner, [...names.plain.event.split('.').slice(0, -1), index].join('.'));
