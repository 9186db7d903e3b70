import { type Connection, createConnection } from 'mysql2/promise';
import { cleanMariadb } from './clean-mariadb.js';
import { cleanPostgres } from './clean-postgres.js';
import type { ServerDatabase } from './recycled-databases.js';
import type { TestServer } from './server.js';

/**
 * Empties Spark's tables in a database, and drops all other tables. Returns what the server says of the database then: the same as
 * before if nothing else has changed.
 */
export async function cleanDatabase(server: TestServer, { name, url }: ServerDatabase): Promise<string> {
  if (server.type === 'postgres') return cleanPostgres(url);
  connection ??= createConnection({
    uri: server.url,
    ...(server.socketPath !== undefined && { socketPath: server.socketPath }),
    multipleStatements: true,
  });
  return cleanMariadb(await connection, name);
}

/** The connection of this process to MariaDB that takes several statements at once. */
let connection: Promise<Connection> | undefined;
