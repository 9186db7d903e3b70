import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { GroupHandler } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { startApp } from './app.js';
import { sqliteDriver } from './sqlite.js';

@Injectable()
class Handlers {
  @GroupHandler(/./, { name: 'one' })
  one() {}
}

/** A process that may listen for the signal to stop, and reports what was logged at boot. */
async function main(): Promise<void> {
  const { listens, worker } = JSON.parse(process.argv[2]!) as { listens: boolean; worker: boolean };
  // As in production: in tests nothing is logged.
  process.env.NODE_ENV = 'production';
  const options = { type: 'better-sqlite3' as const, database: ':memory:', driver: sqliteDriver() };
  const database = { options, drop: async () => undefined };
  const spark = worker ? {} : { worker: false as const };
  const app = await startApp({ database, entities: [], providers: [Handlers], spark });
  if (listens) app.app.enableShutdownHooks();
  const isLogged = () => app.logs.some((line) => line.includes('SIGTERM'));
  for (let i = 0; i < 60 && !isLogged(); i++) await delay(50);
  await app.close();
  process.send!(app.logs, () => process.disconnect());
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
