import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { startApp } from './app.js';
import { Row } from './row.entity.js';
import { sqliteDriver } from './sqlite.js';

@Injectable()
class Events {
  readonly handled: string[] = [];

  @EventSource(Row)
  *now({ id }: Row) {
    yield sparkEvent('row', id);
  }

  @EventSource(Row)
  async later({ id }: Row) {
    return [sparkEvent('row_later', id)];
  }

  @GroupHandler(/./, { name: 'counter' })
  handle({ key }: SparkEvent) {
    this.handled.push(key);
  }
}

/** One of several processes that save the same rows, sweep, emit the same events, and handle what comes. */
async function main(): Promise<void> {
  const { options, rows, driver } = JSON.parse(process.argv[2]!);
  const database = { options: driver ? { ...options, driver: sqliteDriver() } : options, drop: async () => undefined };
  const { app, dataSource, spark, close } = await startApp({ database, entities: [Row], providers: [Events] });
  const entered: string[] = [];
  spark.events$.subscribe(({ key }) => entered.push(key));
  for (let id = 1; id <= rows; id++) {
    await dataSource.manager.upsert(Row, { id, state: `by ${process.pid}` }, ['id']);
    await dataSource.manager.save(Row, { id, state: `again ${process.pid}` });
    await spark.emit(sparkEvent('emitted', id));
    if (id % 20 === 0) await spark.sweep();
  }
  await spark.drain();
  const { handled } = app.get(Events);
  process.send!({ entered, handled: [...handled] });
  await close();
}

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
