import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { sparkEvent } from 'nestjs-spark';
import { startApp } from './app.js';
import { Row } from './row.entity.js';
import { RowSource, rowSource } from './row-source.js';
import { sqliteDriver } from './sqlite.js';

const { options, driver, spark, pause, times = 1 } = JSON.parse(process.argv[2]!);
const read: number[] = [];

rowSource.run = async (rows) => {
  read.push(...rows.map(({ id }) => id));
  await delay(pause);
  return rows.map(({ id }) => sparkEvent('row', id));
};

/** A process that sweeps, and tells which rows it has read. */
async function main(): Promise<void> {
  const database = { options: driver ? { ...options, driver: sqliteDriver() } : options, drop: async () => undefined };
  const app = await startApp({ database, entities: [Row], providers: [RowSource], spark });
  process.send!({ ready: true });
  const reports = [];
  for (let i = 0; i < times; i++) reports.push(await app.spark.sweep());
  await app.close();
  process.send!({ reports, read }, () => process.disconnect());
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
