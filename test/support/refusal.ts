import { startApp, type TestAppOptions } from './app.js';
import type { TestDatabase } from './databases.js';
import { sqliteDriver } from './sqlite.js';

/** A SQLite database that is gone with its DataSource. */
export const inMemory = (): TestDatabase => ({
  options: { type: 'better-sqlite3', database: ':memory:', driver: sqliteDriver() },
  drop: async () => undefined,
});

/** The error with which an application does not start. */
export async function refusal(options: Omit<TestAppOptions, 'database'>): Promise<Error> {
  const app = await startApp({ database: inMemory(), ...options }).catch((error: Error) => error);
  if (app instanceof Error) return app;
  await app.close();
  return new Error('it started');
}
