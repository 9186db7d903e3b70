import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import { startApp } from './app.js';
import { Row } from './row.entity.js';
import { sqliteDriver } from './sqlite.js';

const message = new Promise<void>((resolve) => process.once('message', () => resolve()));

@Injectable()
class Rows {
  private pages = 0;

  /** Waits in its third page until it gets a message to go on, if one ever comes. */
  @EventSource(Row, { batch: true, name: 'rows' })
  async rows(rows: Row[]) {
    if (++this.pages === 3) {
      process.send!({ waits: true });
      await message;
    }
    return rows.flatMap(({ id }) => [sparkEvent('row', id), sparkEvent('old', id)]);
  }
}

/** A process that sweeps once, and gets stuck half-way. */
async function main(): Promise<void> {
  const { options, driver, spark } = JSON.parse(process.argv[2]!);
  const database = { options: driver ? { ...options, driver: sqliteDriver() } : options, drop: async () => undefined };
  const app = await startApp({ database, entities: [Row], providers: [Rows], spark });
  const report = await app.spark.sweep();
  await app.close();
  process.send!({ report, logs: app.logs }, () => process.disconnect());
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
