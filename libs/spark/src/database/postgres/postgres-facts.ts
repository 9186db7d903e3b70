import type { QueryRunner } from 'typeorm';
import type { DatabaseFacts, IsolationFacts, OpenTransaction, UnusedIndex, VacuumFacts } from '../facts.js';
import { postgresIndexes } from '../schema/postgres-indexes.js';
import type { TableNames } from '../table-names.js';
import { namedIsolation } from '../traits.js';

// Values are read as text: an application may let the driver read other types in its own way.
const VACUUM = `SELECT t.name, array_to_string(c.reloptions, ',') AS options, c.reltuples::text AS live,
    COALESCE(s.n_dead_tup, 0)::text AS dead, current_setting('autovacuum') AS is_on,
    current_setting('autovacuum_vacuum_threshold') AS threshold, current_setting('autovacuum_vacuum_scale_factor') AS scale,
    (extract(epoch FROM clock_timestamp() - GREATEST(s.last_vacuum, s.last_autovacuum)) * 1000)::text AS ended
  FROM unnest($1::text[]) t(name) JOIN pg_class c ON c.oid = to_regclass(t.name)::oid LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid`;

const TRANSACTIONS = `SELECT a.pid::text AS connection, string_agg(DISTINCT t.name, chr(10)) AS tables,
    (extract(epoch FROM clock_timestamp() - a.xact_start) * 1000)::text AS age
  FROM unnest($1::text[]) t(name) JOIN pg_locks l ON l.relation = to_regclass(t.name)::oid AND l.granted
  JOIN pg_stat_activity a ON a.pid = l.pid AND a.datname = current_database()
  WHERE a.pid <> pg_backend_pid() AND a.xact_start < clock_timestamp() - $2::float8 * interval '1 millisecond'
  GROUP BY a.pid, a.xact_start ORDER BY a.xact_start`;

interface VacuumRow {
  readonly name: string;
  readonly options: string | null;
  readonly live: string;
  readonly dead: string;
  readonly is_on: string;
  readonly threshold: string;
  readonly scale: string;
  readonly ended: string | null;
}

/** The facts of PostgreSQL. */
export class PostgresFacts implements DatabaseFacts {
  /** The tables for people, by their names in SQL. */
  private readonly tables: ReadonlyMap<string, string>;

  constructor(tables: TableNames) {
    const { plain, schema: _, ...escaped } = tables;
    const names = Object.entries(escaped) as [keyof typeof plain, string][];
    this.tables = new Map(names.map(([table, sql]) => [sql, plain[table]]));
  }

  // What a failed CREATE INDEX CONCURRENTLY has left keeps its name. It must go before the index can be created.
  async unusedIndexes(runner: QueryRunner): Promise<UnusedIndex[]> {
    const escape = (name: string) => runner.dataSource.driver.escape(name);
    const indexes = await postgresIndexes(runner, [...this.tables.keys()]);
    return indexes
      .filter(({ isValid }) => !isValid)
      .map(({ table: sql, name }) => {
        const table = this.tables.get(sql)!;
        const path = [...table.split('.').slice(0, -1), name].map(escape).join('.');
        return { table, index: name, repair: `DROP INDEX ${path}` };
      });
  }

  async isolation(runner: QueryRunner): Promise<IsolationFacts> {
    const sql = `SELECT current_setting('default_transaction_isolation') AS level`;
    const [session] = (await runner.query(sql)) as [{ level: string }];
    const level = namedIsolation(runner.dataSource) ?? session.level.toUpperCase();
    // READ UNCOMMITTED is the same as READ COMMITTED here.
    const collides = ['REPEATABLE READ', 'SERIALIZABLE'].includes(level);
    return { level, collides, seesUncommitted: false, refusesReadCommitted: false };
  }

  async vacuum(runner: QueryRunner): Promise<VacuumFacts> {
    const rows = (await runner.query(VACUUM, [[...this.tables.keys()]])) as VacuumRow[];
    const tables = rows.map(({ name, options, live, dead, threshold, scale, ended }) => {
      const own = new Map((options ?? '').split(',').map((option) => option.split('=') as [string, string]));
      const least = Number(own.get('autovacuum_vacuum_threshold') ?? threshold);
      const share = Number(own.get('autovacuum_vacuum_scale_factor') ?? scale);
      return {
        table: this.tables.get(name)!,
        isOff: isFalse(own.get('autovacuum_enabled')),
        deadRows: Number(dead),
        // A table that was never analyzed has -1 rows.
        beginsAt: least + share * Math.max(0, Number(live)),
        lastEnded: ended === null ? undefined : Number(ended),
      };
    });
    return { isOn: rows.every(({ is_on: isOn }) => isOn === 'on'), tables };
  }

  async openTransactions(runner: QueryRunner, olderThan: number): Promise<OpenTransaction[]> {
    const given = [[...this.tables.keys()], olderThan];
    const rows = (await runner.query(TRANSACTIONS, given)) as Record<'connection' | 'tables' | 'age', string>[];
    return rows.map(({ connection, tables, age }) => {
      const locked = [...this.tables].filter(([sql]) => tables.split('\n').includes(sql));
      return { connection, age: Number(age), tables: locked.map(([, plain]) => plain) };
    });
  }
}

// As PostgreSQL reads an option that is true or false.
const isFalse = (value: string | undefined): boolean =>
  value !== undefined && /^(0|n|no|f|fa|fal|fals|false|of|off)$/i.test(value);
