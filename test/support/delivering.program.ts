import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { GroupHandler, type HandlerScope, type SparkEvent } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { startApp } from './app.js';
import { sqliteDriver } from './sqlite.js';

/** Records each call in a table of its own, and does what the event's group says. */
@Injectable()
class Handlers {
  constructor(private readonly dataSource: DataSource) {}

  @GroupHandler(/./, { name: 'worker', maxAttempts: 3 })
  async handle({ key, group }: SparkEvent, { attempt }: HandlerScope) {
    await this.dataSource.query(`INSERT INTO calls (name, pid, attempt) VALUES ('${key}', ${process.pid}, ${attempt})`);
    process.send?.({ called: key });
    if (group === 'poison') process.kill(process.pid, 'SIGKILL');
    if (group === 'slow') await delay(700);
    if (group === 'stuck' && attempt === 1) await delay(3_000);
  }
}

/** A process that only handles, until it gets the message to stop. */
async function main(): Promise<void> {
  const { options, driver } = JSON.parse(process.argv[2]!);
  const database = { options: driver ? { ...options, driver: sqliteDriver() } : options, drop: async () => undefined };
  const worker = { leaseTtl: '1.2s', leaseRenewal: '200ms', pollInterval: '50ms' };
  const app = await startApp({ database, entities: [], providers: [Handlers], spark: { worker } });
  process.send!({ ready: true });
  process.on('message', () => {
    void app.close().then(() => process.send!({ logs: app.logs }, () => process.disconnect()));
  });
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
