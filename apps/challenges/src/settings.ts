import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TypeOrmModuleOptions } from '@nestjs/typeorm';
import { sqliteDriver } from './sqlite.js';

/** What a process of the demo does: all of it, or its part in a cluster. */
export type Role = 'all' | 'web' | 'work' | 'dispatch';

/** What can be set from outside, by environment variables. */
export interface Settings {
  readonly database: TypeOrmModuleOptions;
  /** Where the data lie, in words and without a password. */
  readonly databaseName: string;
  /** The folder that mails are written to, unless `smtpUrl` is given. */
  readonly outbox: string;
  readonly smtpUrl?: string;
  /** The port of the REST API. */
  readonly port: number;
  readonly role: Role;
  /** The Redis of a cluster. */
  readonly redisUrl: string;
}

/** The injection token of {@link Settings}. */
export const SETTINGS = Symbol('SETTINGS');

/** A setting that cannot be used. Its message says which one, and what would do. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
}

// The same folder from src/ and from dist/, wherever the process was started.
const DATA = fileURLToPath(new URL('../data', import.meta.url));

const ROLES: readonly string[] = ['all', 'web', 'work', 'dispatch'] satisfies Role[];

const SERVERS = new Map<string, 'postgres' | 'mysql' | 'mariadb'>([
  ['postgres:', 'postgres'],
  ['postgresql:', 'postgres'],
  ['mysql:', 'mysql'],
  ['mariadb:', 'mariadb'],
]);

/**
 * Reads the settings. Everything has a default; an empty variable counts as not given.
 *
 * @param env `DATABASE_URL`, `DATA` (the folder of the SQLite file and the outbox), `OUTBOX`, `SMTP_URL`, `PORT`, `ROLE`, `REDIS_URL`.
 * @throws SettingsError
 *
 * @example
 * const settings = settingsFrom({ DATABASE_URL: 'postgres://me:secret@localhost/challenges', PORT: '8080' });
 */
export function settingsFrom(env: NodeJS.ProcessEnv): Settings {
  const data = resolve(env.DATA || DATA);
  return {
    ...databaseFrom(env.DATABASE_URL, data),
    outbox: resolve(env.OUTBOX || join(data, 'outbox')),
    smtpUrl: env.SMTP_URL ? smtpFrom(env.SMTP_URL) : undefined,
    port: portFrom(env.PORT || '3000'),
    role: roleFrom(env.ROLE || 'all'),
    redisUrl: redisFrom(env.REDIS_URL || 'redis://127.0.0.1:6379'),
  };
}

function databaseFrom(text: string | undefined, data: string): Pick<Settings, 'database' | 'databaseName'> {
  if (!text) {
    const database = join(data, 'challenges.sqlite');
    return {
      database: { type: 'better-sqlite3', database, driver: sqliteDriver(), enableWAL: true },
      databaseName: database,
    };
  }
  const url = urlOf(text);
  const type = url && SERVERS.get(url.protocol);
  // Without the text itself, which may hold a password.
  if (!type || url.pathname.length < 2)
    throw new SettingsError(
      'DATABASE_URL has to look like postgres://user:password@host:5432/database, mysql://… or mariadb://…; ' +
        'leave it out to use a SQLite file.',
    );
  return { database: { type, url: text }, databaseName: `${url.protocol}//${url.host}${url.pathname}` };
}

function smtpFrom(text: string): string {
  if (/^smtps?:$/.test(urlOf(text)?.protocol ?? '')) return text;
  throw new SettingsError('SMTP_URL has to look like smtp://user:password@host:587 or smtps://…');
}

function redisFrom(text: string): string {
  if (/^rediss?:$/.test(urlOf(text)?.protocol ?? '')) return text;
  throw new SettingsError('REDIS_URL has to look like redis://user:password@host:6379 or rediss://…');
}

function roleFrom(text: string): Role {
  if (ROLES.includes(text)) return text as Role;
  throw new SettingsError(`ROLE has to be one of ${ROLES.join(', ')}, not '${text}'.`);
}

const urlOf = (text: string): URL | undefined => (URL.canParse(text) ? new URL(text) : undefined);

function portFrom(text: string): number {
  const port = Number(text);
  if (Number.isInteger(port) && port > 0 && port <= 65_535) return port;
  throw new SettingsError(`PORT has to be a number from 1 to 65535, not '${text}'.`);
}
