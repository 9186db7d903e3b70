import { Logger } from '@nestjs/common';
import type { QueryRunner } from 'typeorm';
import { RawSqlResultsToEntityTransformer } from 'typeorm/query-builder/transformer/RawSqlResultsToEntityTransformer.js';
import { MissingPartError } from '../error/missing-part.error.js';
import { nameAndVersion } from './package-version.js';

/** A private part of another package: the package, the path that leads to the part, and what fails without it. */
interface PrivatePart {
  readonly of: 'typeorm' | 'pg' | 'mysql2';
  readonly path: string;
  readonly without: string;
}

const ENDING = 'a connection that stops answering may stay in use, and statements wait for it without end';
const MAKING = 'Spark may wait without end for a connection that is never made';
const SESSIONS = 'the session of a dropped connection keeps its locks on the server until the server ends it';

const parts = (of: PrivatePart['of'], without: string, ...paths: string[]): PrivatePart[] =>
  paths.map((path) => ({ of, path, without }));

/** The parts that driver-connections.ts and orphaned-sessions.ts use. The paths begin at a connected query runner and its driver. */
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
 * @throws MissingPartError when Spark cannot work without a part that is missing
 */
export function checkPrivateParts(runner: QueryRunner): void {
  // instances.ts uses it.
  if (!('group' in RawSqlResultsToEntityTransformer.prototype))
    throw new MissingPartError(nameAndVersion('typeorm'), 'RawSqlResultsToEntityTransformer.group');
  const { type, driver } = runner.dataSource.options as { type: string; driver?: unknown };
  const all = OF_DRIVERS[type === 'mariadb' ? 'mysql' : type] ?? [];
  const root = { runner, driver: poolsOf(runner) };
  const missing = all.filter(({ path }) => valueAt(root, path) === undefined);
  // A missing part is reported once: its own parts are missing, too.
  for (const part of missing.filter(({ path }) => !missing.some((other) => path.startsWith(`${other.path}.`)))) {
    // The application may pass a driver of its own, whose version Spark cannot read.
    const place = part.of !== 'typeorm' && driver ? `The driver given as ${part.of}` : nameAndVersion(part.of);
    new Logger('Spark').warn(
      `${place} lacks ${part.path}, a private part of it that Spark uses. Without it, ${part.without}. Install the version that ` +
        `you had before, or a release of nestjs-spark that supports this version.`,
    );
  }
}

/** The pools of TypeORM's driver. One pool stands for those of all replicas. */
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
