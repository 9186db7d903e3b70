/* oxlint-disable no-underscore-dangle -- the pools have no public names for these; private-parts.ts checks at boot that they are there */
import type { DataSource, QueryRunner } from 'typeorm';

interface Socket {
  destroy?(error?: Error): void;
}

interface PgClient {
  on(event: 'error', listener: () => void): void;
  readonly connection?: { readonly stream?: Socket };
  readonly _connecting?: boolean;
  readonly _connected?: boolean;
}

interface PgPool {
  readonly _clients: readonly PgClient[];
  readonly _idle?: readonly { readonly client: PgClient }[];
  _remove?(client: PgClient): void;
  on(event: 'connect', listener: (client: PgClient) => void): void;
}

interface MysqlConnection {
  readonly _handshakePacket?: object | null;
  readonly stream?: Socket;
  destroy?(): void;
}

interface Queue<T> {
  readonly length: number;
  get?(index: number): T;
}

interface MysqlPool {
  readonly _allConnections: Queue<MysqlConnection>;
  readonly _freeConnections?: Queue<MysqlConnection>;
}

interface Drivers {
  readonly master?: PgPool;
  readonly slaves?: readonly PgPool[];
  readonly pool?: MysqlPool;
  readonly poolCluster?: { readonly _nodes: Record<string, { readonly pool?: MysqlPool }> };
}

interface Runner {
  readonly databaseConnection?: MysqlConnection;
  releasePostgresConnection?(error: Error): Promise<void>;
}

/** Ends the connection of a query runner. Its pool does not use the connection again. Statements that wait on it fail with the error. */
export function dropConnection(runner: QueryRunner, error: Error): void {
  const { databaseConnection, releasePostgresConnection } = runner as unknown as Runner;
  if (releasePostgresConnection) void releasePostgresConnection.call(runner, error);
  else if (databaseConnection) dropMysql(databaseConnection, error);
}

/** Ends the idle connections of a DataSource: if one connection is silent, they probably are, too. */
export function dropIdle(dataSource: DataSource, error: Error): void {
  for (const pool of pgPools(dataSource))
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
  for (const pool of pgPools(dataSource))
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
  for (const pool of pgPools(dataSource)) pool.on('connect', (client) => client.on('error', () => undefined));
}

/** For each connection that is being made, a function that ends it if it is not connected by then. */
export function connecting(dataSource: DataSource): ((error: Error) => void)[] {
  const clients = pgPools(dataSource).flatMap(({ _clients }) => _clients.filter(isConnecting));
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

function pgPools({ driver }: DataSource): PgPool[] {
  const { master, slaves = [] } = driver as unknown as Drivers;
  return [...(master ? [master] : []), ...slaves].filter(({ _clients }) => Array.isArray(_clients));
}

function mysqlPools({ driver }: DataSource): MysqlPool[] {
  const { pool, poolCluster } = driver as unknown as Drivers;
  const nodes = Object.values(poolCluster?._nodes ?? {});
  return [pool, ...nodes.map((node) => node.pool)].filter((some) => some?._allConnections !== undefined) as MysqlPool[];
}

const all = <T>(queue: Queue<T> | undefined): T[] =>
  queue?.get ? Array.from({ length: queue.length }, (_, i) => queue.get!(i)) : [];
