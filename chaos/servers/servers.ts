import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sqliteDriver } from '../../apps/challenges/src/sqlite.js';
import { mariadbServer } from './mariadb.js';
import { postgresServer } from './postgres.js';
import type { Server } from './server.js';

export const DATABASES = ['sqlite', 'postgres', 'mariadb'] as const;

export type DatabaseName = (typeof DATABASES)[number];

export function startServer(name: DatabaseName, actors: readonly string[]): Promise<Server> {
  if (name === 'postgres') return postgresServer();
  if (name === 'mariadb') return mariadbServer(actors);
  return sqliteFile();
}

async function sqliteFile(): Promise<Server> {
  const folder = mkdtempSync(join(tmpdir(), 'spark-chaos-'));
  const options = { type: 'better-sqlite3', database: join(folder, 'chaos.sqlite') };
  return {
    options: { ...options, driver: sqliteDriver() },
    optionsFor: () => options,
    cut: undefined,
    crash: undefined,
    stop: async () => rmSync(folder, { recursive: true, force: true }),
  };
}
