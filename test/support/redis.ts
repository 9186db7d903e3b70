import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { inject } from 'vitest';
import { freePort } from './embedded-postgres.js';

/** A Redis server of a test's own, without files, which the test may kill. */
export class RedisServer {
  private process: ChildProcess | undefined;
  private readonly admins = new Set<Redis>();

  private constructor(
    readonly port: number,
    private readonly options: readonly string[],
  ) {}

  /** @param options of the server, such as `['--maxmemory', '20mb']` */
  static async start(options: readonly string[] = []): Promise<RedisServer> {
    const server = await RedisServer.absent(options);
    await server.start();
    return server;
  }

  /** One that is not there yet. */
  static async absent(options: readonly string[] = []): Promise<RedisServer> {
    return new RedisServer(await freePort(), options);
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts it, again after a kill: it has no data then. */
  async start(): Promise<void> {
    const given = ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'];
    this.process = spawn(inject('redisServer')!, [...given, ...this.options], { stdio: 'ignore' });
    for (let tries = 0; tries < 500; tries++) {
      const client = new Redis(this.port, '127.0.0.1', { lazyConnect: true, retryStrategy: () => null });
      client.on('error', () => undefined);
      const answers = await client.connect().then(
        () => true,
        () => false,
      );
      client.disconnect();
      if (answers) return;
      await delay(20);
    }
    throw new Error('redis-server does not answer');
  }

  /** A connection that the test asks by. */
  admin(): Redis {
    const client = new Redis(this.port, '127.0.0.1');
    client.on('error', () => undefined);
    this.admins.add(client);
    return client;
  }

  /** Ends it as a crash does. */
  async kill(): Promise<void> {
    if (!this.process || this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await ended;
  }

  /** Lets it stand still: its connections stay open. */
  stall(): void {
    this.process!.kill('SIGSTOP');
  }

  goOn(): void {
    this.process!.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    for (const client of this.admins) client.disconnect();
    await this.kill();
  }
}
