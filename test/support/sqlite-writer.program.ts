import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { startApp } from './app.js';
import { Row } from './row.entity.js';
import { sqliteDriver } from './sqlite.js';

/** One of several processes that count up the same row: each transaction reads it first and writes it then. */
async function main(): Promise<void> {
  const { database, transactions } = JSON.parse(process.argv[2]!);
  const options = { type: 'better-sqlite3' as const, database, driver: sqliteDriver() };
  const { dataSource, close } = await startApp({
    database: { options, drop: async () => undefined },
    entities: [Row],
    spark: { worker: false },
  });
  const failures: string[] = [];
  const count = () =>
    dataSource.transaction(async (manager) => {
      const row = await manager.findOneByOrFail(Row, { id: 1 });
      await delay(2);
      await manager.save(Row, { id: 1, state: String(Number(row.state) + 1) });
    });
  const all = Array.from({ length: transactions }, () =>
    count().catch((error: unknown) => void failures.push(String(error))),
  );
  await Promise.all(all);
  process.send!(failures);
  await close();
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
