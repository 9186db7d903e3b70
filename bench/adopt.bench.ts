import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import type { DataSource } from 'typeorm';
import { application, numbers } from './application.js';
import { figure, middle, type Row } from './contest.js';
import { type DatabaseName, ownDatabase } from './database.js';
import { Order } from './entities.js';
import { runBench } from './results.js';

const { values } = parseArgs({ options: { rows: { type: 'string' } }, strict: false });
const ROWS = Number(values.rows ?? 1_000_000);

@Injectable()
class Orders {
  @EventSource(Order, { history: 'silent' })
  *events({ id, amount }: Order) {
    yield sparkEvent('order_created', id);
    if (amount > 1) yield sparkEvent('order_grown', id);
  }
}

/** Tells when an event was handled. */
@Injectable()
class Handled {
  readonly keys: string[] = [];
  onKey = (): void => undefined;

  @GroupHandler(/^order/, { name: 'orders' })
  handle({ key }: SparkEvent) {
    this.keys.push(key);
    this.onKey();
  }
}

/** Adds Spark to a table with rows, while users change some: how long it takes, what it stores, and how soon a change is delivered. */
async function adopt(db: DatabaseName): Promise<Row[]> {
  const database = await ownDatabase(db);
  const before = await application(db, [Order], [], { worker: false }, [], database.options);
  await before.dataSource.query(
    `INSERT INTO orders (title, amount) SELECT 'a kettle', 1 FROM (${numbers(db, ROWS)}) s`,
  );
  await before.close();
  const began = performance.now();
  const app = await application(db, [Order], [Orders, Handled], {}, [], database.options);
  try {
    const handled = app.app.get(Handled);
    const latencies: number[] = [];
    for (let id = 1; !(await app.spark.sources()).every(({ adopted }) => adopted); id += 7) {
      const saved = performance.now();
      const isHandled = new Promise<void>((resolve) => (handled.onKey = resolve));
      await app.dataSource.manager.update(Order, id, { amount: 2 });
      await isHandled;
      latencies.push(performance.now() - saved);
    }
    const seconds = (performance.now() - began) / 1_000;
    const wrong = handled.keys.filter((key) => !key.startsWith('order_grown'));
    if (wrong.length > 0) throw new Error(`old news: ${wrong.slice(0, 5).join()}`);
    const work = (what: string) => `${ROWS.toLocaleString('en')} rows: ${what}`;
    const of = (what: string, ratio: string, median: number) =>
      figure({ bench: 'adopt', work: work(what), db, ratio, median, target: null });
    return [
      of('until the source is adopted', 'seconds', seconds),
      of('what it stores', 'bytes a row', (await bytes(app.dataSource)) / ROWS),
      of('a change meanwhile, until its handler', 'ms', middle(latencies)),
    ];
  } finally {
    await app.close();
    await database.drop();
  }
}

async function bytes(dataSource: DataSource): Promise<number> {
  const sql = `SELECT pg_total_relation_size('spark_event') + pg_total_relation_size('spark_delivery') AS bytes`;
  const [row] = (await dataSource.query(sql)) as { bytes: string }[];
  return Number(row!.bytes);
}

await runBench(['postgres'], adopt);
