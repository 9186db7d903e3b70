import { Redis } from 'ioredis';
import { DataSource } from 'typeorm';
import { SettingsError } from '../settings.js';

// How long a server has for its first answer, in milliseconds.
const ANSWER = 3_000;

/** Makes sure that PostgreSQL answers, and makes its database if there is none. Throws SettingsError. */
export async function preparePostgres(url: string): Promise<void> {
  const { host, pathname } = new URL(url);
  try {
    await ask(url, 'SELECT 1').catch(async (error: unknown) => {
      // The database does not exist.
      if ((error as { code?: string }).code !== '3D000') throw error;
      const anyDatabase = new URL(url);
      anyDatabase.pathname = '/postgres';
      await ask(anyDatabase.href, `CREATE DATABASE "${decodeURIComponent(pathname.slice(1)).replaceAll('"', '""')}"`);
    });
  } catch (error) {
    throw new SettingsError(
      `PostgreSQL at ${host} does not answer: ${reasonOf(error)}. Start it, such as by: ` +
        `docker run -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres\n` +
        `Or name another one: DATABASE_URL=postgres://user:password@host:5432/challenges npm run start:cluster`,
      { cause: error },
    );
  }
}

async function ask(url: string, sql: string): Promise<void> {
  const server = await new DataSource({ type: 'postgres', url, connectTimeoutMS: ANSWER }).initialize();
  try {
    await server.query(sql);
  } finally {
    await server.destroy();
  }
}

/** Makes sure that Redis answers. Throws SettingsError. */
export async function findRedis(url: string): Promise<void> {
  const redis = new Redis(url, { lazyConnect: true, connectTimeout: ANSWER, retryStrategy: () => null });
  let last: unknown;
  redis.on('error', (error) => (last = error));
  try {
    await redis.connect();
    await redis.ping();
  } catch (error) {
    throw new SettingsError(
      `Redis at ${new URL(url).host} does not answer: ${reasonOf(last ?? error)}. Start it, such as by: ` +
        `docker run -p 6379:6379 redis\nOr name another one: REDIS_URL=redis://host:6379 npm run start:cluster`,
      { cause: error },
    );
  } finally {
    redis.disconnect();
  }
}

/** The error of a name with several addresses has a code, and no words. */
function reasonOf(error: unknown): string {
  const { message, code } = error as { message?: string; code?: string };
  return message || code || String(error);
}
