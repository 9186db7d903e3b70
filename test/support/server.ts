import { isDeepStrictEqual } from 'node:util';
import { DataSource, type DataSourceOptions } from 'typeorm';

/** A database server that tests make databases of their own on. */
export interface TestServer {
  readonly type: 'postgres' | 'mariadb';
  readonly url: string;
  /** The file by which processes of its machine reach MariaDB: mysql2 takes a third of the CPU time for a statement that TCP takes. */
  readonly socketPath?: string;
  /** As it calls itself, for the run's last lines. */
  readonly version: string;
}

type Place = Pick<TestServer, 'type' | 'url' | 'socketPath'>;

/** Throws when the server does not answer. */
export async function connect(type: TestServer['type'], url: string): Promise<TestServer> {
  const server = await new DataSource({ type, url, connectTimeoutMS: 2_000, connectTimeout: 2_000 }).initialize();
  const [row] = await server.query('SELECT version() AS version');
  await server.destroy();
  const number = /[\d.]+/.exec(row.version)![0];
  const version = `${type === 'postgres' ? 'PostgreSQL' : 'MariaDB'} ${number}`;
  return type === 'mariadb' ? { type, url, version, ...(await socketOf(url)) } : { type, url, version };
}

/** The socket of a MariaDB, if it is on this machine. */
async function socketOf(url: string): Promise<Pick<TestServer, 'socketPath'>> {
  const ask = async (more: object) => {
    const server = await new DataSource({ type: 'mariadb', url, connectTimeout: 2_000, ...more }).initialize();
    const [row] = await server.query('SELECT @@socket AS socketPath, @@port AS port, @@hostname AS host');
    await server.destroy();
    return row as { socketPath: string };
  };
  const byTcp = await ask({});
  const { socketPath } = byTcp;
  const bySocket = await ask({ socketPath }).catch(() => undefined);
  return isDeepStrictEqual(bySocket, byTcp) ? { socketPath } : {};
}

/** The options of a DataSource there. */
export const optionsOf = ({ type, url, socketPath }: Place, more: object = {}): DataSourceOptions => ({
  type,
  url,
  ...(socketPath !== undefined && { socketPath }),
  ...more,
});

/** Makes a database and returns its URL. */
export async function createDatabase(server: TestServer, name: string): Promise<string> {
  await run(server, `CREATE DATABASE ${name}${server.type === 'mariadb' ? ' CHARACTER SET utf8mb4' : ''}`);
  const url = new URL(server.url);
  url.pathname = `/${name}`;
  return url.href;
}

/** Drops a database, even while somebody is connected to it. */
export async function dropDatabase(server: TestServer, name: string): Promise<void> {
  await run(server, `DROP DATABASE IF EXISTS ${name}${server.type === 'postgres' ? ' WITH (FORCE)' : ''}`);
}

/** Drops the databases whose names begin so. */
export async function dropDatabases(server: TestServer, prefix: string): Promise<void> {
  const isPostgres = server.type === 'postgres';
  const [name, all] = isPostgres ? ['datname', 'pg_database'] : ['schema_name', 'information_schema.schemata'];
  const left = `LEFT(${name}, ${prefix.length}) = '${prefix}'`;
  for (const row of await run(server, `SELECT ${name} AS name FROM ${all} WHERE ${left}`)) {
    await dropDatabase(server, row.name!);
  }
}

/** The connections of this process, by the URL of the server. A test file makes many databases. */
const open = new Map<string, Promise<DataSource>>();

async function run(place: Place, sql: string): Promise<Record<string, string>[]> {
  let server = open.get(place.url);
  if (!server) open.set(place.url, (server = new DataSource(optionsOf(place)).initialize()));
  return (await server).query(sql);
}

/** Closes the connections of this process. */
export async function disconnect(): Promise<void> {
  for (const server of open.values()) await (await server).destroy();
  open.clear();
}
