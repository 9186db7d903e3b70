import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

/** Stands before a PostgreSQL. What the server says on connections that it ends as they begin arrives at once. */
class LateProxy {
  private server!: Server;
  private readonly sockets = new Set<Socket>();
  /** Ends the session of each new connection, while it is set. */
  kill: ((session: number) => Promise<unknown>) | undefined;
  ended = 0;

  constructor(private readonly target: URL) {}

  async start(): Promise<string> {
    this.server = createServer((client) => this.forward(client)).listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    const through = new URL(this.target);
    through.host = `127.0.0.1:${(this.server.address() as { port: number }).port}`;
    return through.href;
  }

  stop(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }

  private forward(client: Socket): void {
    const server = connect(Number(this.target.port || 5432), this.target.hostname);
    for (const socket of [client, server]) {
      this.sockets.add(socket);
      socket.on('error', () => undefined).setNoDelay(true);
    }
    const { kill } = this;
    client.pipe(server);
    if (!kill) return void server.pipe(client);
    const said: Buffer[] = [];
    server.on('data', (data: Buffer) => {
      said.push(data);
      const session = said.length === 1 ? sessionIn(data) : undefined;
      if (session !== undefined) void kill(session);
    });
    server.on('end', () => {
      this.ended++;
      client.end(Buffer.concat(said));
    });
  }
}

/** The number of the session in the server's greeting, whose messages have a letter, their length, and what they say. */
function sessionIn(greeting: Buffer): number | undefined {
  for (let at = 0; at < greeting.length; at += 1 + greeting.readInt32BE(at + 1))
    if (greeting[at] === 'K'.charCodeAt(0)) return greeting.readInt32BE(at + 5);
  return undefined;
}

describe.each(databases.filter(({ name }) => name === 'PostgreSQL'))(
  'a connection that ends as it begins, on $name',
  (database) => {
    let db: TestDatabase;
    let direct: DataSource;
    let proxy: LateProxy;
    let app: TestApp;
    const uncaught: unknown[] = [];
    const onUncaught = (error: unknown) => void uncaught.push(error);

    beforeEach(async () => {
      db = await database.create();
      direct = await new DataSource(db.options).initialize();
      proxy = new LateProxy(new URL((db.options as { url: string }).url));
      const options = {
        ...db.options,
        url: await proxy.start(),
        socketPath: undefined,
        poolSize: 6,
      } as DataSourceOptions;
      app = await startApp({ database: { ...db, options }, entities: [] });
      uncaught.length = 0;
      process.on('uncaughtException', onUncaught);
    });
    afterEach(async () => {
      process.off('uncaughtException', onUncaught);
      await app?.close();
      proxy.stop();
      await direct.destroy();
      await db.drop();
    });

    it('fails what was to be sent on it, and nothing else', async () => {
      proxy.kill = (session) => direct.query('SELECT pg_terminate_backend($1)', [session]);
      const sent = await Promise.allSettled(
        Array.from({ length: 6 }, () => app.dataSource.query('SELECT pg_sleep(0.2)')),
      );
      proxy.kill = undefined;
      const failed = sent.filter(({ status }) => status === 'rejected');
      expect(failed.length).toBeGreaterThan(0);
      expect(failed.length).toBeLessThanOrEqual(proxy.ended);
      expect(uncaught).toEqual([]);
      expect(await app.dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    });
  },
);
