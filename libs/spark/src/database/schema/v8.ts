import { escaped } from './completion.js';
import type { Place, SchemaVersion } from './schema-version.js';
import { v7 } from './v7.js';

/**
 * Version 8 changes how PostgreSQL stores the tables. Sweeps read known keys from the index alone, the removal of contexts rarely writes
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
    if (!isPostgres(place)) return;
    const { runner, names } = place;
    const { event, key, next } = keyIndex(place);
    if (await hasConstraint(place)) {
      await runner.query(`CREATE UNIQUE INDEX "${next}" ON ${event} (event_key)`);
      await runner.query(`ALTER TABLE ${event} DROP CONSTRAINT "${key}"`);
      await runner.query(`ALTER INDEX ${pathOf(place, next)} RENAME TO "${key}"`);
    }
    await runner.query(`ALTER TABLE ${event} RESET (fillfactor)`);
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

/** The tables that grow, or whose rows come and go. */
const vacuumed = ({ event, delivery, recheck, attempt, worker, limit }: Place['names']['plain']): string[] => [
  event,
  delivery,
  recheck,
  attempt,
  worker,
  limit,
];

const isPostgres = ({ runner }: Place): boolean => runner.dataSource.options.type === 'postgres';

/** The index of keys gets the columns that sweeps compare, as a constraint: TypeORM takes an index with more columns for one on all of them. */
async function store(place: Place): Promise<void> {
  if (!isPostgres(place)) return;
  const { runner, names } = place;
  const { event, key, next } = keyIndex(place);
  if (!(await hasConstraint(place))) {
    const columns = '(event_key) INCLUDE (event_group, entity, entity_id)';
    await runner.query(`CREATE UNIQUE INDEX IF NOT EXISTS "${next}" ON ${event} ${columns}`);
    await runner.query(`DROP INDEX IF EXISTS ${pathOf(place, key)}`);
    await runner.query(`ALTER TABLE ${event} ADD CONSTRAINT "${key}" UNIQUE USING INDEX "${next}"`);
  }
  await runner.query(`ALTER TABLE ${event} SET (fillfactor = ${FILLFACTOR})`);
  const settings = Object.entries(VACUUM).map(([name, value]) => `${name} = ${value}`);
  for (const table of vacuumed(names.plain))
    await runner.query(`ALTER TABLE ${escaped(runner, table)} SET (${settings.join(', ')})`);
}

/** The table of events in SQL, the name of the index of its keys, and that of the index that takes its place. */
function keyIndex({ runner, names }: Place) {
  const { event } = names.plain;
  const key = `${event.split('.').at(-1)!}_key`;
  return { event: escaped(runner, event), key, next: `${key}_covering` };
}

/** An index of the table of events in SQL, with its schema. */
const pathOf = ({ runner, names }: Place, index: string): string =>
  escaped(runner, [...names.plain.event.split('.').slice(0, -1), index].join('.'));

async function hasConstraint(place: Place): Promise<boolean> {
  const { event, key } = keyIndex(place);
  const sql = `SELECT 1 FROM pg_constraint WHERE conrelid = $1::regclass AND conname = $2`;
  return (await place.runner.query(sql, [event, key])).length > 0;
}
