import { describe, expect, it } from 'vitest';
import { settingsFrom, SettingsError } from './settings.js';

describe('settings', () => {
  it('need nothing: a SQLite file and an outbox in the data folder, port 3000', () => {
    const settings = settingsFrom({ DATA: '/data', DATABASE_URL: '', PORT: '' });

    expect(settings).toMatchObject({ databaseName: '/data/challenges.sqlite', outbox: '/data/outbox', port: 3000 });
    expect(settings.database).toMatchObject({ type: 'better-sqlite3', database: '/data/challenges.sqlite' });
    expect(settings.smtpUrl).toBeUndefined();
    expect(settings).toMatchObject({ role: 'all', redisUrl: 'redis://127.0.0.1:6379' });
  });

  it.each([
    ['postgres://me@db/app', 'postgres'],
    ['postgresql://me@db/app', 'postgres'],
    ['mysql://me@db/app', 'mysql'],
    ['mariadb://me@db/app', 'mariadb'],
  ])('take %s as %s', (url, type) => {
    expect(settingsFrom({ DATABASE_URL: url }).database).toMatchObject({ type, url });
  });

  it('show the database without its password', () => {
    const { databaseName } = settingsFrom({ DATABASE_URL: 'postgres://me:secret@db:5432/app' });

    expect(databaseName).toBe('postgres://db:5432/app');
  });

  it.each([
    [{ DATABASE_URL: 'oracle://me:secret@db/app' }, 'DATABASE_URL'],
    [{ DATABASE_URL: 'secret' }, 'DATABASE_URL'],
    [{ DATABASE_URL: 'mysql://me:secret@db' }, 'DATABASE_URL'],
    [{ SMTP_URL: 'secret.example.org' }, 'SMTP_URL'],
    [{ REDIS_URL: 'http://me:secret@redis' }, 'REDIS_URL'],
    [{ ROLE: 'worker' }, 'ROLE'],
    [{ PORT: '3000x' }, 'PORT'],
    [{ PORT: '0' }, 'PORT'],
    [{ PORT: '65536' }, 'PORT'],
  ])('refuse %o by name, without a password', (env, name) => {
    expect(() => settingsFrom(env)).toThrow(SettingsError);
    expect(() => settingsFrom(env)).toThrow(name);
    expect(() => settingsFrom(env)).not.toThrow(/secret/);
  });
});
