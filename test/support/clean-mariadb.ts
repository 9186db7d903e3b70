import type { Connection, RowDataPacket } from 'mysql2/promise';
import { isSparks, VERSION } from './spark-tables.js';
import { untilNone } from './until-none.js';

/** A table with more bytes is made anew: it is done sooner than to remove its rows. */
const LARGE = 200_000;
/** More rows than that would show in the plans of statements. */
const MANY = 100;

/**
 * Empties Spark's tables on MariaDB, and drops all other tables and views.
 *
 * @param server a connection that takes several statements at once
 * @returns what the server says of the database then: it is the same again if nobody has changed anything else since
 * @throws if somebody stays connected
 */
export async function cleanMariadb(server: Connection, name: string): Promise<string> {
  await untilNone(async () => (await select(server, OTHERS, name)).length);
  const tables = await select<Present>(server, TABLES, name);
  const own = tables.filter(({ table, type }) => type === 'BASE TABLE' && isSparks(table));
  const others = tables.filter((one) => !own.includes(one) && one.table !== VERSION);
  const path = ({ table }: Present) => `\`${name}\`.\`${table.replaceAll('`', '``')}\``;
  await server.query(
    [
      'SET foreign_key_checks = 0, lock_wait_timeout = 5, innodb_lock_wait_timeout = 5',
      ...others.map((one) => `DROP ${one.type === 'VIEW' ? 'VIEW' : 'TABLE'} IF EXISTS ${path(one)}`),
      ...own.map((one) => (one.bytes > LARGE ? `TRUNCATE TABLE ${path(one)}` : `DELETE FROM ${path(one)}`)),
      ...own.filter(({ next }) => Number(next) > 1).map((one) => `ALTER TABLE ${path(one)} AUTO_INCREMENT = 1`),
    ].join(';'),
  );
  const kept = tables.filter((one) => !others.includes(one));
  const asked = [...kept.map((one) => `SHOW CREATE TABLE ${path(one)}`), `SHOW CREATE DATABASE \`${name}\``];
  const [said] = await server.query(asked.join(';'));
  const more = await select(server, MORE.replaceAll('?', server.escape(name)));
  const version = await select(server, `SELECT * FROM \`${name}\`.${VERSION}`);
  return JSON.stringify([said, more, version]).replaceAll(name, '');
}

interface Present {
  readonly table: string;
  readonly type: string;
  readonly bytes: number;
  /** The next number of AUTO_INCREMENT. */
  readonly next: number | string | null;
}

const OTHERS = 'SELECT id FROM information_schema.processlist WHERE db = ?';

const TABLES = `SELECT table_name AS \`table\`, table_type AS type, data_length AS bytes, auto_increment AS next
  FROM information_schema.tables WHERE table_schema = ? ORDER BY table_name`;

const MORE = `SELECT
  (SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = ?) AS triggers,
  (SELECT COUNT(*) FROM mysql.proc WHERE db = ?) AS routines,
  (SELECT COUNT(*) FROM mysql.event WHERE db = ?) AS events,
  (SELECT COUNT(*) FROM mysql.db WHERE db = ?) + (SELECT COUNT(*) FROM mysql.tables_priv WHERE db = ?)
    + (SELECT COUNT(*) FROM mysql.columns_priv WHERE db = ?) AS rights,
  (SELECT COUNT(*) FROM mysql.innodb_table_stats WHERE database_name = ? AND n_rows >= ${MANY}) AS large`;

async function select<T>(server: Connection, sql: string, ...parameters: string[]): Promise<T[]> {
  const [rows] = await server.query<RowDataPacket[]>(sql, parameters);
  return rows as T[];
}
