import type { QueryRunner } from 'typeorm';
import type {
  CharsetFacts,
  DatabaseFacts,
  IsolationFacts,
  OpenTransaction,
  UnusedIndex,
  WrongColumn,
} from '../facts.js';
import { neededTables } from '../schema/schema.js';
import { select } from '../statement.js';
import type { TableNames } from '../table-names.js';
import { namedIsolation } from '../traits.js';

const PLACE = 'table_schema = COALESCE(:schema, DATABASE()) AND table_name IN (:...tables)';
// What a connection can carry all texts in. The results have none if they are not converted.
const ALL_TEXTS = ['utf8mb4', 'binary', ''];
const ACCESS_DENIED = 1227;

/** The facts of MariaDB and MySQL. */
export class MysqlFacts implements DatabaseFacts {
  private readonly place: { readonly schema: string | null; readonly tables: readonly string[] };

  constructor(private readonly names: TableNames) {
    const tables = Object.values(names.plain).map((name) => name.split('.').at(-1)!);
    this.place = { schema: names.schema ?? null, tables };
  }

  // MariaDB calls it ignored, and MySQL invisible. Each has a column of its own for it.
  async unusedIndexes(runner: QueryRunner): Promise<UnusedIndex[]> {
    const sql = `SELECT * FROM information_schema.statistics WHERE ${PLACE} AND seq_in_index = 1`;
    const rows = await select<Record<string, string>>(runner, sql, this.place);
    const escape = (...path: (string | undefined)[]) =>
      path.flatMap((name) => (name === undefined ? [] : runner.dataSource.driver.escape(name))).join('.');
    return rows.map(upperCased).flatMap(({ TABLE_NAME: table, INDEX_NAME: index, IGNORED, IS_VISIBLE }) => {
      const word = IGNORED === 'YES' ? 'NOT IGNORED' : IS_VISIBLE === 'NO' ? 'VISIBLE' : undefined;
      if (word === undefined) return [];
      const repair = `ALTER TABLE ${escape(this.names.schema, table)} ALTER INDEX ${escape(index)} ${word}`;
      return { table: table!, index: index!, repair };
    });
  }

  async isolation(runner: QueryRunner): Promise<IsolationFacts> {
    const session = await this.variables(runner, ['transaction_isolation', 'tx_isolation', 'log_bin', 'binlog_format']);
    const usual = (session.get('transaction_isolation') ?? session.get('tx_isolation') ?? '').replaceAll('-', ' ');
    const level = namedIsolation(runner.dataSource) ?? usual;
    return {
      level,
      collides: level === 'SERIALIZABLE',
      // Reads outside of transactions have the session's level.
      seesUncommitted: [level, usual].includes('READ UNCOMMITTED'),
      refusesReadCommitted: session.get('log_bin') === 'ON' && session.get('binlog_format') === 'STATEMENT',
    };
  }

  async charsets(runner: QueryRunner): Promise<CharsetFacts> {
    const names = ['character_set_client', 'character_set_connection', 'character_set_results'];
    const session = await this.variables(runner, names);
    const connection = new Set([...session.values()].filter((charset) => !ALL_TEXTS.includes(charset)));
    return { connection: [...connection], columns: await this.wrongColumns(runner) };
  }

  async openTransactions(runner: QueryRunner, olderThan: number): Promise<OpenTransaction[] | undefined> {
    // trx_started is in the time zone of the server.
    const now = `COALESCE(CONVERT_TZ(NOW(6), @@session.time_zone, 'SYSTEM'), NOW(6))`;
    const age = `TIMESTAMPDIFF(MICROSECOND, t.trx_started, ${now}) DIV 1000`;
    const sql = `SELECT t.trx_mysql_thread_id AS connection, ${age} AS age FROM information_schema.innodb_trx t
      JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
      WHERE p.db = COALESCE(:schema, DATABASE()) AND p.id <> CONNECTION_ID() AND ${age} >= :olderThan
        AND (t.trx_rows_locked > 0 OR t.trx_rows_modified > 0) ORDER BY t.trx_started`;
    try {
      const rows = await select<Record<'connection' | 'age', string>>(runner, sql, { ...this.place, olderThan });
      return rows.map(({ connection, age: open }) => ({
        connection: String(connection),
        age: Number(open),
        tables: [],
      }));
    } catch (error) {
      if ((error as { errno?: number }).errno === ACCESS_DENIED) return undefined;
      throw error;
    }
  }

  private async wrongColumns(runner: QueryRunner): Promise<WrongColumn[]> {
    const sql = `SELECT table_name AS tbl, column_name AS col, character_set_name AS charset, collation_name AS coll
      FROM information_schema.columns WHERE ${PLACE} AND collation_name IS NOT NULL`;
    const rows = await select<Record<'tbl' | 'col' | 'charset' | 'coll', string>>(runner, sql, this.place);
    const needed = new Map<string, { readonly charset?: string; readonly collation?: string }>();
    for (const { name, columns = [] } of await neededTables({ runner, names: this.names }))
      for (const column of columns) needed.set(`${name.split('.').at(-1)} ${column.name}`, column);
    return rows.flatMap(({ tbl: table, col: column, charset, coll: collation }) => {
      const wanted = needed.get(`${table} ${column}`);
      const set = wanted?.charset ?? charset;
      const isRight = charset === set && collation === (wanted?.collation ?? collation);
      return isRight ? [] : [{ table, column, collation, needed: wanted?.collation ?? set }];
    });
  }

  /** Variables of the session, those that this server has. */
  private async variables(runner: QueryRunner, names: readonly string[]): Promise<Map<string, string>> {
    const sql = 'SHOW SESSION VARIABLES WHERE Variable_name IN (:...names)';
    const rows = await select<{ Variable_name: string; Value: string }>(runner, sql, { names });
    return new Map(rows.map(({ Variable_name: name, Value: value }) => [name.toLowerCase(), value]));
  }
}

/** A row by the upper-case names of its columns: MySQL returns them so, and MariaDB as they are written. */
const upperCased = (row: Readonly<Record<string, string>>): Record<string, string | undefined> =>
  Object.fromEntries(Object.entries(row).map(([name, value]) => [name.toUpperCase(), value]));
