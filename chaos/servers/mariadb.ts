import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { freePort } from '../../test/support/embedded-postgres.js';
import type { Server } from './server.js';

/** A MariaDB of its own, by the programs that are installed: no npm package carries it. */
export async function mariadbServer(actors: readonly string[]): Promise<Server> {
  const program = ['/usr/sbin/mariadbd', '/usr/local/sbin/mariadbd', '/usr/libexec/mariadbd'].find(existsSync);
  if (!program) throw new Error('No mariadbd is installed here: install the package mariadb-server');
  const folder = mkdtempSync(join(tmpdir(), 'spark-chaos-mariadb-'));
  const data = join(folder, 'data');
  const install = ['--no-defaults', `--datadir=${data}`, '--auth-root-authentication-method=normal', '--skip-test-db'];
  const user = `--user=${userInfo().username}`;
  const made = spawnSync('mariadb-install-db', [...install, user], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`mariadb-install-db failed: ${made.error?.message ?? made.stderr}`);
  const port = await freePort();
  const args = [
    '--no-defaults',
    user,
    `--datadir=${data}`,
    `--socket=${join(folder, 'socket')}`,
    `--port=${port}`,
    '--bind-address=127.0.0.1',
    '--character-set-server=utf8mb4',
    '--max-connections=200',
    // What was committed is with the operating system: it outlives the server, not the machine.
    '--innodb-flush-log-at-trx-commit=2',
  ];
  const url = (name: string, database = '') => `mysql://${name}@127.0.0.1:${port}/${database}`;
  const launch = async () => {
    const server = spawn(program, args, { stdio: 'ignore' });
    process.once('exit', () => server.kill('SIGKILL'));
    await answers(url('root'), server);
    return server;
  };
  let server = await launch();
  await prepare(url('root'), actors);
  return {
    options: { type: 'mariadb', url: url('root', 'chaos') },
    optionsFor: (actor) => ({ type: 'mariadb', url: url(actor, 'chaos') }),
    cut: async (db, actor) => {
      const one = 'SELECT id FROM information_schema.processlist WHERE user = ? ORDER BY RAND() LIMIT 1';
      const [connection] = await db.query(one, [actor]);
      if (connection) await db.query(`KILL ${Number(connection.id)}`);
      return connection !== undefined;
    },
    crash: async () => {
      await ended(server, 'SIGKILL');
      server = await launch();
    },
    stop: async () => {
      await ended(server, 'SIGTERM');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function prepare(url: string, actors: readonly string[]): Promise<void> {
  const root = await new DataSource({ type: 'mariadb', url }).initialize();
  await root.query('CREATE DATABASE chaos');
  for (const actor of actors) {
    await root.query(`CREATE USER ${actor}@'127.0.0.1'`);
    await root.query(`GRANT ALL ON chaos.* TO ${actor}@'127.0.0.1'`);
  }
  await root.destroy();
}

async function answers(url: string, server: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    if (server.exitCode !== null) throw new Error(`mariadbd ended with ${server.exitCode}`);
    const source = new DataSource({ type: 'mariadb', url, connectTimeout: 1_000 });
    const isUp = await source.initialize().then(
      () => true,
      () => false,
    );
    if (isUp) return source.destroy();
    await delay(100);
  }
  throw new Error('mariadbd does not answer');
}

async function ended(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const exited = new Promise((resolve) => server.once('exit', resolve));
  server.kill(signal);
  await exited;
}
