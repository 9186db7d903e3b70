import { Logger } from '@nestjs/common';
import type { QueryRunner } from 'typeorm';
import { RawSqlResultsToEntityTransformer } from 'typeorm/query-builder/transformer/RawSqlResultsToEntityTransformer.js';
import { MissingPartError } from '../error/missing-part.error.js';
import { nameAndVersion } from './package-version.js';

/** A part of another package that is private to it: whose it is, how it is reached, and what fails without it. */
interface PrivatePart {
  readonly of: 'typeorm' | 'pg' | 'mysql2';
  readonly path: string;
  readonly without: string;
}

const ENDING = 'a connection that stops answering may stay in use, and what waits for it waits on';
const MAKING = 'a connection that is never made may be waited for without end';
const SESSIONS = 'what a dropped connection leaves on the server keeps its locks until the server notices';

const parts = (of: PrivatePart['of'], without: string, ...paths: string[]): PrivatePart[] =>
  paths.map((path) => ({ of, path, without }));

/** What driver-connections.ts and orphaned-sessions.ts reach for, from a connected query runner and its driver. */
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
 * Checks that what Spark uses of the private sides of TypeORM and of the drivers is there. It warns of what only guards need, and
 * throws MissingPartError where Spark cannot work without a part.
 *
 * @param runner one that has a connection
 */
export function checkPrivateParts(runner: QueryRunner): void {
  // Reached by instances.ts.
  if (!('group' in RawSqlResultsToEntityTransformer.prototype))
    throw new MissingPartError(nameAndVersion('typeorm'), 'RawSqlResultsToEntityTransformer.group');
  const { type, driver } = runner.dataSource.options as { type: string; driver?: unknown };
  const all = OF_DRIVERS[type === 'mariadb' ? 'mysql' : type] ?? [];
  const root = { runner, driver: poolsOf(runner) };
  const missing = all.filter(({ path }) => valueAt(root, path) === undefined);
  // A part of what is missing is no news.
  for (const part of missing.filter(({ path }) => !missing.some((other) => path.startsWith(`${other.path}.`)))) {
    // Of a driver that the application gives, the files are unknown.
    const place = part.of !== 'typeorm' && driver ? `The driver given as ${part.of}` : nameAndVersion(part.of);
    new Logger('Spark').warn(
      `${place} lacks ${part.path}, which is private to it and which Spark uses. Without it, ${part.without}. Install the version ` +
        `that was there before, or a release of nestjs-spark that knows this one.`,
    );
  }
}

/** The pools that TypeORM's driver keeps, those of replicas by one of them. */
function poolsOf({ dataSource }: QueryRunner): Pick<Drivers, 'master' | 'pool'> {
  const { master, pool, poolCluster } = dataSource.driver as unknown as Drivers;
  // oxlint-disable-next-line no-underscore-dangle -- mysql2 has no public name for it
  return { master, pool: pool ?? Object.values(poolCluster?._nodes ?? {})[0]?.pool };
}

interface Drivers {
  readonly master?: unknown;
  readonly pool?: unknown;
  readonly poolCluster?: { readonly _nodes?: Record<string, { readonly pool?: unknown }> };
}

const valueAt = (root: unknown, path: string): unknown =>
  path.split('.').reduce((value, name) => (value as Record<string, unknown> | null | undefined)?.[name], root);
