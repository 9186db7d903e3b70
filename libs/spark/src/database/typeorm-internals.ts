/* oxlint-disable no-underscore-dangle -- the drivers have no public names for these */
import type { DataSource, ObjectLiteral, QueryRunner } from 'typeorm';
import type { Alias } from 'typeorm/query-builder/Alias.js';
import { RawSqlResultsToEntityTransformer } from 'typeorm/query-builder/transformer/RawSqlResultsToEntityTransformer.js';
import { SparkLog } from '../common/spark-log.js';
import { MissingPartError } from '../error/missing-part.error.js';
import { nameAndVersion } from './package-version.js';

// The private parts of TypeORM, and of the drivers behind it, that Spark uses. `checkInternals` below checks them at boot.

interface Socket {
  destroy?(error?: Error): void;
}

/** The parts of a client of the package pg that Spark uses. */
export interface PgClient {
  on(event: 'error', listener: () => void): void;
  readonly connection?: { readonly stream?: Socket };
  readonly _connecting?: boolean;
  readonly _connected?: boolean;
}

/** The parts of a pool of the package pg that Spark uses. */
export interface PgPool {
  readonly _clients: readonly PgClient[];
  readonly _idle?: readonly { readonly client: PgClient }[];
  _remove?(client: PgClient): void;
  on(event: 'connect', listener: (client: PgClient) => void): void;
}

/** The parts of a connection of the package mysql2 that Spark uses. */
export interface MysqlConnection {
  readonly _handshakePacket?: object | null;
  readonly stream?: Socket;
  destroy?(): void;
}

/** A list of the package mysql2. */
export interface Queue<T> {
  readonly length: number;
  get?(index: number): T;
}

/** The parts of a pool of the package mysql2 that Spark uses. */
export interface MysqlPool {
  readonly _allConnections: Queue<MysqlConnection>;
  readonly _freeConnections?: Queue<MysqlConnection>;
}

/** The connection of better-sqlite3; `Connection` has the parts of it that Spark uses. */
export const sqliteConnectionOf = <Connection>({ driver }: DataSource): Connection =>
  (driver as unknown as { databaseConnection: Connection }).databaseConnection;

/** The pool of the package pg for writes. */
export const postgresPoolOf = <Pool = PgPool>({ driver }: DataSource): Pool =>
  (driver as unknown as { master: Pool }).master;

/** All pools of the package pg. */
export function postgresPools({ driver }: DataSource): PgPool[] {
  const { master, slaves = [] } = driver as unknown as { master?: PgPool; slaves?: readonly PgPool[] };
  return [...(master ? [master] : []), ...slaves].filter(({ _clients }) => Array.isArray(_clients));
}

/** All pools of the package mysql2. */
export function mysqlPools({ driver }: DataSource): MysqlPool[] {
  const { pool, poolCluster } = driver as unknown as { pool?: MysqlPool; poolCluster?: PoolCluster };
  const nodes = Object.values(poolCluster?._nodes ?? {});
  return [pool, ...nodes.map((node) => node.pool)].filter((some) => some?._allConnections !== undefined) as MysqlPool[];
}

interface PoolCluster {
  readonly _nodes: Record<string, { readonly pool?: MysqlPool }>;
}

/** The parts of a connected query runner that Spark uses. */
export interface RunnerInternals {
  readonly databaseConnection?: (PgClient | MysqlConnection) & {
    readonly processID?: number;
    readonly threadId?: number;
  };
  releasePostgresConnection?(error: Error): Promise<void>;
  /** How many transactions and savepoints are open: 1 right after an outermost transaction has begun. */
  readonly transactionDepth: number;
}

export const internalsOf = (runner: QueryRunner): RunnerInternals => runner as unknown as RunnerInternals;

/** Groups the rows of a query by entity. */
export function groupRows(transformer: RawSqlResultsToEntityTransformer, rows: object[], alias: Alias) {
  const { group } = transformer as unknown as { group(rows: object[], alias: Alias): Map<unknown, ObjectLiteral[]> };
  return group.call(transformer, rows, alias);
}

/** A private part of another package: the package, the path that leads to the part, and what fails without it. */
interface PrivatePart {
  readonly of: 'typeorm' | 'pg' | 'mysql2';
  readonly path: string;
  readonly without: string;
}

const ENDING = 'a connection that stops answering may stay in use, and statements wait for it without end';
const MAKING = 'Spark may wait without end for a connection that never opens';
const SESSIONS = 'the session of a dropped connection keeps its locks on the server until the server ends it';

const parts = (of: PrivatePart['of'], without: string, ...paths: string[]): PrivatePart[] =>
  paths.map((path) => ({ of, path, without }));

/** The parts that Spark can work without. The paths begin at a connected query runner and its driver. */
const OF_DRIVERS: Readonly<Record<string, readonly PrivatePart[]>> = {
  postgres: [
    ...parts('typeorm', ENDING, 'driver.master', 'runner.databaseConnection', 'runner.releasePostgresConnection'),
    ...parts('pg', ENDING, 'driver.master._clients', 'driver.master._idle', 'driver.master._remove'),
    ...parts('pg', ENDING, 'runner.databaseConnection.connection.stream.destroy'),
    ...parts('pg', MAKING, 'runner.databaseConnection._connecting', 'runner.databaseConnection._connected'),
    ...parts('pg', SESSIONS, 'runner.databaseConnection.processID'),
  ],
  mysql: [
    ...parts('typeorm', ENDING, 'driver.pool', 'runner.databaseConnection'),
    ...parts('mysql2', ENDING, 'driver.pool._allConnections.get', 'driver.pool._freeConnections.get'),
    ...parts('mysql2', ENDING, 'runner.databaseConnection.stream.destroy'),
    ...parts('mysql2', MAKING, 'runner.databaseConnection._handshakePacket'),
    ...parts('mysql2', SESSIONS, 'runner.databaseConnection.threadId'),
  ],
};

/**
 * Checks that the private parts of TypeORM and of the drivers that Spark uses exist. It logs a warning for a part that Spark can
 * work without.
 *
 * @param runner a query runner that has a connection
 * @throws MissingPartError if a part is missing without which Spark cannot work
 */
export function checkInternals(runner: QueryRunner): void {
  const { type, driver } = runner.dataSource.options as { type: string; driver?: unknown };
  const needed = {
    'RawSqlResultsToEntityTransformer.group': 'group' in RawSqlResultsToEntityTransformer.prototype,
    'QueryRunner.transactionDepth': typeof internalsOf(runner).transactionDepth === 'number',
    'BetterSqlite3Driver.databaseConnection':
      type !== 'better-sqlite3' || sqliteConnectionOf(runner.dataSource) !== undefined,
  };
  for (const [part, isThere] of Object.entries(needed))
    if (!isThere) throw new MissingPartError(nameAndVersion('typeorm'), part);
  const all = OF_DRIVERS[type === 'mariadb' ? 'mysql' : type] ?? [];
  const root = { runner, driver: poolsOf(runner) };
  const missing = all.filter(({ path }) => valueAt(root, path) === undefined);
  // A missing part is reported once: its own parts are missing, too.
  for (const part of missing.filter(({ path }) => !missing.some((other) => path.startsWith(`${other.path}.`)))) {
    // The application may pass a driver of its own, whose version Spark cannot read.
    const place = part.of !== 'typeorm' && driver ? `The driver given as ${part.of}` : nameAndVersion(part.of);
    new SparkLog().warn(
      `${place} lacks ${part.path}, a private part of it that Spark uses. Without it, ${part.without}. Install the version that ` +
        `you had before, or a release of nestjs-spark that supports this version.`,
      { package: part.of, part: part.path },
    );
  }
}

/** The pools of TypeORM's driver. One pool stands for those of all replicas. */
function poolsOf({ dataSource }: QueryRunner): { master: unknown; pool: unknown } {
  const { pool, poolCluster } = dataSource.driver as unknown as { pool?: MysqlPool; poolCluster?: PoolCluster };
  return { master: postgresPoolOf(dataSource), pool: pool ?? Object.values(poolCluster?._nodes ?? {})[0]?.pool };
}

const valueAt = (root: unknown, path: string): unknown =>
  path.split('.').reduce((value, name) => (value as Record<string, unknown> | null | undefined)?.[name], root);
