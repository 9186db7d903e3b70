import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DataSource } from 'typeorm';
import { sqliteDriver } from '../../apps/challenges/src/sqlite.js';
import { mariadbServer } from './mariadb.js';
import { postgresServer } from './postgres.js';

export const DATABASES = ['sqlite', 'postgres', 'mariadb'] as const;

export type DatabaseName = (typeof DATABASES)[number];

/** A database of a round's own. */
export interface Server {
  /** Options of a DataSource that reads it. */
  readonly options: object;
  /** Options of an actor's DataSource; the driver knows its connections by its name. */
  optionsFor(actor: string): { readonly type: string; readonly url?: string };
  /** Cuts a connection of an actor, if it has one; undefined where there are none to cut. */
  readonly cut: ((db: DataSource, actor: string) => Promise<boolean>) | undefined;
  /** Ends it as a crash would, and starts it again; undefined where there is no server. */
  readonly crash: (() => Promise<void>) | undefined;
  stop(): Promise<void>;
}

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
