import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { Redis } from 'ioredis';
import { freePort } from '../../test/support/embedded-postgres.js';
import { type Companion, startCompanion } from './companion.js';

/** Starts a Redis that keeps nothing on disk: a crash empties it. */
export async function startRedis(): Promise<Companion> {
  const program = ['/usr/bin/redis-server', '/usr/local/bin/redis-server'].find(existsSync);
  if (!program) throw new Error('No redis-server is installed here: install the package redis-server');
  const port = await freePort();
  const given = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
  return startCompanion({
    url: `redis://127.0.0.1:${port}`,
    messages: undefined,
    start: () => spawn(program, given, { stdio: 'ignore' }),
    isUp: () => answers(port),
    faults: {
      flush: async () => {
        const client = new Redis(port, '127.0.0.1');
        await client.flushall();
        client.disconnect();
      },
    },
  });
}

async function answers(port: number): Promise<boolean> {
  const client = new Redis(port, '127.0.0.1', { lazyConnect: true, retryStrategy: () => null });
  client.on('error', () => undefined);
  const isUp = await client.connect().then(
    () => true,
    () => false,
  );
  client.disconnect();
  return isUp;
}
