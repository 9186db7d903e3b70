/* oxlint-disable no-underscore-dangle -- the pools have no public names for these; typeorm-internals.ts checks at boot that they are there */
import type { DataSource, QueryRunner } from 'typeorm';
import {
  internalsOf,
  type MysqlConnection,
  mysqlPools,
  type PgClient,
  postgresPools,
  type Queue,
} from './typeorm-internals.js';

/** Ends the connection of a query runner, which its pool does not use again. What waits on it fails with the error. */
export function dropConnection(runner: QueryRunner, error: Error): void {
  const { databaseConnection, releasePostgresConnection } = internalsOf(runner);
  if (releasePostgresConnection) void releasePostgresConnection.call(runner, error);
  else if (databaseConnection) dropMysql(databaseConnection as MysqlConnection, error);
}

/** Ends the connections of a DataSource that nobody uses: they are likely to be as silent as one that was used. */
export function dropIdle(dataSource: DataSource, error: Error): void {
  for (const pool of postgresPools(dataSource))
    for (const { client } of pool._idle?.slice() ?? []) {
      pool._remove?.(client);
      client.connection?.stream?.destroy?.();
    }
  for (const pool of mysqlPools(dataSource))
    for (const connection of all(pool._freeConnections)) dropMysql(connection, error);
}

/** Ends all connections of a DataSource. */
export function dropAll(dataSource: DataSource, error: Error): void {
  dropIdle(dataSource, error);
  for (const pool of postgresPools(dataSource))
    for (const { connection } of pool._clients.slice()) connection?.stream?.destroy?.(error);
  for (const pool of mysqlPools(dataSource))
    for (const connection of all(pool._allConnections)) dropMysql(connection, error);
}

/**
 * Lets no new connection end the process. One that the server ends right after its greeting tells so while the pool has handed
 * it over, and TypeORM does not listen to it yet: an `error` that nobody hears is thrown. Who uses it is told by its first statement.
 */
export function listenToNewConnections(dataSource: DataSource): void {
  for (const pool of postgresPools(dataSource)) pool.on('connect', (client) => client.on('error', () => undefined));
}

/** Connections that are being made, each as what ends it unless it is made by then. */
export function connecting(dataSource: DataSource): ((error: Error) => void)[] {
  const clients = postgresPools(dataSource).flatMap(({ _clients }) => _clients.filter(isConnecting));
  const connections = mysqlPools(dataSource).flatMap(({ _allConnections }) => all(_allConnections).filter(isGreeting));
  return [
    ...clients.map((client) => (error: Error) => {
      if (isConnecting(client)) client.connection?.stream?.destroy?.(error);
    }),
    ...connections.map((connection) => (error: Error) => {
      if (isGreeting(connection)) dropMysql(connection, error);
    }),
  ];
}

const isConnecting = ({ _connecting, _connected }: PgClient) => _connecting === true && _connected !== true;
const isGreeting = ({ _handshakePacket }: MysqlConnection) => _handshakePacket === null;

// Half-closed, as mysql2 would leave it, the socket of a silent connection stays, and what waits on it is never told.
function dropMysql(connection: MysqlConnection, error: Error): void {
  connection.destroy?.();
  connection.stream?.destroy?.(error);
}

const all = <T>(queue: Queue<T> | undefined): T[] =>
  queue?.get ? Array.from({ length: queue.length }, (_, i) => queue.get!(i)) : [];
