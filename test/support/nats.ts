import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DeliverPolicy, jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import type { CloudEvent } from 'nestjs-spark/microservices';
import { inject } from 'vitest';

/** A NATS server of a test's own, with JetStream, which the test may kill. */
export class NatsServer {
  private process: ChildProcess | undefined;

  private constructor(
    private readonly port: number,
    private readonly folder: string,
  ) {}

  static async start(): Promise<NatsServer> {
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as { port: number };
    probe.close();
    const server = new NatsServer(port, mkdtempSync(join(inject('folder'), 'nats-')));
    await server.start();
    return server;
  }

  get url(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Starts it, again after a kill, with the streams that it had. */
  async start(): Promise<void> {
    const given = ['-a', '127.0.0.1', '-p', String(this.port), '-js', '-sd', this.folder];
    this.process = spawn(inject('nats')!, given, { stdio: 'ignore' });
    await (await this.connect()).close();
  }

  async kill(): Promise<void> {
    const ended = once(this.process!, 'exit');
    this.process!.kill('SIGKILL');
    await ended;
  }

  async connect(): Promise<NatsConnection> {
    for (let i = 0; ; i++) {
      try {
        return await connect({ servers: this.url, reconnect: false });
      } catch (error) {
        if (i === 100) throw error;
        await delay(50);
      }
    }
  }

  /** Makes a stream of some subjects, on disk. */
  async makeStream(name: string, subjects: string[]): Promise<void> {
    const connection = await this.connect();
    await (await jetstreamManager(connection)).streams.add({ name, subjects });
    await connection.close();
  }

  /** What a stream has stored, in its order. */
  async stored(stream: string): Promise<CloudEvent[]> {
    const connection = await this.connect();
    const { state } = await (await jetstreamManager(connection)).streams.info(stream);
    const events: CloudEvent[] = [];
    if (state.messages > 0) {
      const consumer = await jetstream(connection).consumers.get(stream, { deliver_policy: DeliverPolicy.All });
      const messages = await consumer.fetch({ max_messages: state.messages, expires: 5_000 });
      for await (const message of messages) events.push(message.json<CloudEvent>());
    }
    await connection.close();
    return events;
  }
}
