import 'reflect-metadata';
import { sparkEvent } from 'nestjs-spark';
import { startApp } from './app.js';
import { Row } from './row.entity.js';
import { RowSource, rowSource } from './row-source.js';
import { sqliteDriver } from './sqlite.js';

const message = new Promise<void>((resolve) => process.once('message', () => resolve()));

let pages = 0;

/** Waits in its third page until it gets a message to go on, if one ever comes. */
rowSource.run = async (rows) => {
  if (++pages === 3) {
    process.send!({ waits: true });
    await message;
  }
  return rows.flatMap(({ id }) => [sparkEvent('row', id), sparkEvent('old', id)]);
};

/** A process that sweeps once, and gets stuck half-way. */
async function main(): Promise<void> {
  const { options, driver, spark } = JSON.parse(process.argv[2]!);
  const database = { options: driver ? { ...options, driver: sqliteDriver() } : options, drop: async () => undefined };
  const app = await startApp({ database, entities: [Row], providers: [RowSource], spark });
  const report = await app.spark.sweep();
  await app.close();
  process.send!({ report, logs: app.logs }, () => process.disconnect());
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
