import type { DataSource, QueryRunner, TableColumnOptions } from 'typeorm';

type TextType = Partial<TableColumnOptions> & { type: string };

/** The types of Spark's columns on one database. Types of a released version of the tables never change. */
export interface ColumnTypes {
  /** A generated number for each row. */
  readonly id: TableColumnOptions;
  /** Text that distinguishes case and trailing blanks, and can be a key. */
  readonly exact: (length: number) => TextType;
  /** Exact text for a primary key. */
  readonly subject: TextType;
  readonly longText: TextType;
  /** Columns that only this database needs in the event table. */
  readonly extraColumns: readonly TableColumnOptions[];
  /** Whether the database has partial indexes. */
  readonly partialIndexes: boolean;
  /** Whether rechecks are indexed by time, not by entity. */
  readonly rechecksByTime: boolean;
}

/** The column types of the database that a query runner is connected to. */
export async function columnTypes(runner: QueryRunner): Promise<ColumnTypes> {
  const { type } = runner.dataSource.options;
  if (type === 'postgres') return POSTGRES;
  return type === 'better-sqlite3' ? SQLITE : mysqlTypes(await exactCollation(runner));
}

/**
 * The collation that distinguishes all texts on MariaDB and MySQL. For the usual ones `a`, `A` and `a ` are equal; for utf8mb4_bin `a`
 * and `a ` are equal.
 */
export async function exactCollation(runner: QueryRunner): Promise<string> {
  const { dataSource } = runner;
  let collation = collations.get(dataSource);
  if (collation === undefined) {
    // The version that TypeORM has does not show which of the two it is.
    const [server] = (await runner.query('SELECT VERSION() AS version')) as [{ version: string }];
    collation = /mariadb/i.test(server.version) ? 'utf8mb4_nopad_bin' : 'utf8mb4_0900_bin';
    collations.set(dataSource, collation);
  }
  return collation;
}

/** Each version of the tables asks for it. */
const collations = new WeakMap<DataSource, string>();

const bigintId = { type: 'bigint', isPrimary: true, isGenerated: true, generationStrategy: 'increment' } as const;

const POSTGRES: ColumnTypes = {
  id: { name: 'id', ...bigintId },
  exact: (length) => ({ type: 'varchar', length: String(length), collation: 'C' }),
  subject: { type: 'text', collation: 'C' },
  longText: { type: 'text' },
  extraColumns: [],
  partialIndexes: true,
  rechecksByTime: false,
};

const SQLITE: ColumnTypes = {
  id: { name: 'id', ...bigintId, type: 'integer' },
  exact: (length) => ({ type: 'varchar', length: String(length) }),
  subject: { type: 'text' },
  longText: { type: 'text' },
  extraColumns: [],
  partialIndexes: true,
  rechecksByTime: true,
};

function mysqlTypes(collation: string): ColumnTypes {
  const exact = (length: number) => ({ type: 'varchar', length: String(length), charset: 'utf8mb4', collation });
  return {
    id: { name: 'id', ...bigintId },
    exact,
    subject: exact(512),
    longText: { type: 'longtext' },
    extraColumns: [{ name: 'token', type: 'char', length: '36', charset: 'ascii', collation: 'ascii_bin' }],
    partialIndexes: false,
    rechecksByTime: false,
  };
}
