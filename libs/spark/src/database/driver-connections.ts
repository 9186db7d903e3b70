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

/** Ends the connection of a query runner. Its pool does not use the connection again. Statements that wait on it fail with the error. */
export function dropConnection(runner: QueryRunner, error: Error): void {
  const { databaseConnection, releasePostgresConnection } = internalsOf(runner);
  if (releasePostgresConnection) void releasePostgresConnection.call(runner, error);
  else if (databaseConnection) dropMysql(databaseConnection as MysqlConnection, error);
}

/** Ends the idle connections of a DataSource: if one connection is silent, they probably are, too. */
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
 * Prevents that a new connection ends the process. If the server ends a connection right after its greeting, the connection emits
 * `error`. TypeORM has no listener at that moment, and Node.js throws an `error` event without a listener. The first statement on the
 * connection fails anyway, so the listener here does nothing.
 */
export function listenToNewConnections(dataSource: DataSource): void {
  for (const pool of postgresPools(dataSource)) pool.on('connect', (client) => client.on('error', () => undefined));
}

/** For each connection that is being made, a function that ends it if it is not connected by then. */
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

// mysql2 only half-closes the socket. On a silent connection, the socket would stay, and its statements would wait for ever.
function dropMysql(connection: MysqlConnection, error: Error): void {
  connection.destroy?.();
  connection.stream?.destroy?.(error);
}

const all = <T>(queue: Queue<T> | undefined): T[] =>
  queue?.get ? Array.from({ length: queue.length }, (_, i) => queue.get!(i)) : [];
