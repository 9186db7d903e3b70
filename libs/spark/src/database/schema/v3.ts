import type { TableOptions } from 'typeorm';
import { select } from '../statement.js';
import { columnTypes } from './column-types.js';
import { complete, dropColumn } from './completion.js';
import { escaped } from './present-tables.js';
import { agendaOf } from './former-names.js';
import type { Place, SchemaVersion } from './schema-version.js';
import { v2 } from './v2.js';

/**
 * Version 3 renames the table of rechecks. It adds the metadata of events, the fingerprint of a delivery's error, and the tables of
 * failed attempts and of paused handlers.
 */
export const v3: SchemaVersion = {
  version: 3,
  migration: 'ExtendSparkTables1795960000000',
  release: '0.2.0',
  tables,

  async up(place) {
    const { names } = place;
    if (!(await v3.hasBegun!(place))) await nameRechecks(place, agendaOf(names).plain, names.plain.recheck);
    await complete(place, await tables(place));
    if (await isInUse(place)) await keepFormerName(place);
  },

  async down(place) {
    const { runner, names } = place;
    if (runner.dataSource.options.type !== 'better-sqlite3')
      await runner.query(`DROP VIEW IF EXISTS ${agendaOf(names).sql}`);
    for (const table of [names.plain.attempt, names.plain.pause]) await runner.dropTable(table, true);
    await dropColumn(place, names.plain.event, 'metadata');
    await dropColumn(place, names.plain.delivery, 'fingerprint');
    if (await v3.hasBegun!(place)) await nameRechecks(place, names.plain.recheck, agendaOf(names).plain);
  },

  // Version 2 would create the old table of rechecks again.
  hasBegun: ({ runner, names }) => runner.hasTable(names.plain.recheck),
};

async function tables(place: Place): Promise<TableOptions[]> {
  const { runner, names } = place;
  const { id, exact, longText, extraColumns } = await columnTypes(runner);
  const agenda = agendaOf(names).plain;
  const text = (name: string, length: number) => ({ name, ...exact(length) });
  // On MariaDB and MySQL the type must not depend on the database's default.
  const long = (name: string) => ({ name, ...longText, ...(extraColumns.length > 0 ? { charset: 'utf8mb4' } : {}) });
  const added = {
    [names.plain.event]: [{ ...long('metadata'), isNullable: true }],
    [names.plain.delivery]: [{ ...text('fingerprint', 16), isNullable: true }],
  };
  const former = (await v2.tables(place)).map((table) => ({
    ...table,
    name: table.name === agenda ? names.plain.recheck : table.name,
    columns: [...table.columns!, ...(added[table.name] ?? [])],
    indices: table.indices?.map((index) =>
      table.name === agenda ? { ...index, name: renamed(index.name!, agenda, names.plain.recheck) } : index,
    ),
  }));
  return [
    ...former,
    {
      name: names.plain.attempt,
      columns: [
        id,
        { name: 'delivery_id', type: id.type },
        { name: 'attempt', type: 'int' },
        text('host', 255),
        { name: 'pid', type: 'int' },
        { name: 'started_at', type: 'bigint' },
        { name: 'duration_ms', type: 'int' },
        long('error'),
        text('fingerprint', 16),
      ],
      indices: [
        { name: `${bare(names.plain.attempt)}_delivery`, columnNames: ['delivery_id', 'id'] },
        { name: `${bare(names.plain.attempt)}_fingerprint`, columnNames: ['fingerprint', 'id'] },
      ],
    },
    {
      name: names.plain.pause,
      columns: [
        { ...text('handler', 100), isPrimary: true },
        { name: 'paused_at', type: 'bigint' },
      ],
    },
  ];
}

/** Renames the table, and its indexes and sequence. */
async function nameRechecks({ runner }: Place, from: string, to: string): Promise<void> {
  const { driver, options } = runner.dataSource;
  const [table, next] = [escaped(runner, from), driver.escape(bare(to))];
  if (options.type === 'better-sqlite3') return void (await runner.query(`ALTER TABLE ${table} RENAME TO ${next}`));
  const indexes = ['due', 'subject'].map((part) => [`${bare(from)}_${part}`, `${bare(to)}_${part}`] as const);
  if (options.type !== 'postgres') {
    const renames = indexes.map(([index, name]) => `RENAME INDEX ${driver.escape(index)} TO ${driver.escape(name)}`);
    return void (await runner.query(`ALTER TABLE ${table} ${renames.join(', ')}, RENAME TO ${escaped(runner, to)}`));
  }
  const schema = from.slice(0, -bare(from).length);
  const within = (name: string) => escaped(runner, schema + name);
  await runner.query(`ALTER TABLE ${table} RENAME TO ${next}`);
  for (const [index, name] of indexes)
    await runner.query(`ALTER INDEX ${within(index)} RENAME TO ${driver.escape(name)}`);
  const [sequence, name] = [`${bare(from)}_id_seq`, `${bare(to)}_id_seq`];
  await runner.query(`ALTER SEQUENCE IF EXISTS ${within(sequence)} RENAME TO ${driver.escape(name)}`);
}

/**
 * Creates a view with the old name, because processes of the previous release write to it until they end. SQLite cannot write through a
 * view, so there they must be stopped first.
 */
async function keepFormerName({ runner, names }: Place): Promise<void> {
  if (runner.dataSource.options.type === 'better-sqlite3') return;
  const columns = 'id, entity, entity_id, due_at, attempt, depth, taken_by, taken_until';
  await runner.query(`CREATE OR REPLACE VIEW ${agendaOf(names).sql} AS SELECT ${columns} FROM ${names.recheck}`);
}

/** Whether a process has used the tables. */
async function isInUse({ runner, names }: Place): Promise<boolean> {
  return (await select(runner, `SELECT name FROM ${names.handler} LIMIT 1`)).length > 0;
}

const bare = (table: string): string => table.split('.').at(-1)!;

/** A name that begins with the bare name of a table. */
const renamed = (name: string, from: string, to: string): string => bare(to) + name.slice(bare(from).length);
