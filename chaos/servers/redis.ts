import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { freePort } from '../../test/support/embedded-postgres.js';

/** A Redis of a round's own. */
export interface TestRedis {
  readonly url: string;
  /** Ends it, and starts it again after a moment, without its data. */
  crash(): Promise<void>;
  /** Removes all its data. */
  flush(): Promise<void>;
  /** Lets it stand still for a while, with open connections. */
  stall(): Promise<void>;
  stop(): Promise<void>;
}

// How long it is away, in milliseconds: longer than commands wait for it.
const AWAY = 4_000;

export async function startRedis(): Promise<TestRedis> {
  const program = ['/usr/bin/redis-server', '/usr/local/bin/redis-server'].find(existsSync);
  if (!program) throw new Error('No redis-server is installed here: install the package redis-server');
  const port = await freePort();
  const launch = async () => {
    const given = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    const server = spawn(program, given, { stdio: 'ignore' });
    process.once('exit', () => server.kill('SIGKILL'));
    await answers(port, server);
    return server;
  };
  let server = await launch();
  // What happens to it, happens one after the other.
  let last: Promise<void> = Promise.resolve();
  const inTurn = (strike: () => Promise<void>) => (last = last.then(strike));
  return {
    url: `redis://127.0.0.1:${port}`,
    crash: () =>
      inTurn(async () => {
        await ended(server);
        await delay(AWAY);
        server = await launch();
      }),
    flush: () =>
      inTurn(async () => {
        const client = new Redis(port, '127.0.0.1');
        await client.flushall();
        client.disconnect();
      }),
    stall: () =>
      inTurn(async () => {
        server.kill('SIGSTOP');
        await delay(2 * AWAY);
        server.kill('SIGCONT');
      }),
    stop: async () => {
      await last;
      await ended(server);
    },
  };
}

async function answers(port: number, server: ChildProcess): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    if (server.exitCode !== null) throw new Error(`redis-server ended with ${server.exitCode}`);
    const client = new Redis(port, '127.0.0.1', { lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => undefined);
    const isUp = await client.connect().then(
      () => true,
      () => false,
    );
    client.disconnect();
    if (isUp) return;
    await delay(50);
  }
  throw new Error('redis-server does not answer');
}

async function ended(server: ChildProcess): Promise<void> {
  const exited = new Promise((resolve) => server.once('exit', resolve));
  server.kill('SIGKILL');
  await exited;
}
