import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { GroupHandler, sparkEvent } from 'nestjs-spark';
import { type Application, application, numbers } from './application.js';
import { compare, middle, type Row } from './contest.js';
import type { DatabaseName } from './database.js';
import { runBench } from './results.js';

const EVENTS = 100;
const HANDLED = 500_000;

/** How long after its commit an event is handled, while a transaction is open that began before many others were handled. */
async function dump(db: DatabaseName, rounds: number): Promise<Row[]> {
  // One after the other: on MariaDB, an old transaction keeps what was removed in any database.
  const arms = [await arm(db, 'no old transaction', false), await arm(db, 'old transaction', true)];
  try {
    return await compare({
      bench: 'dump',
      work: `latency after ${HANDLED.toLocaleString('en')} were handled`,
      db,
      rounds,
      arms,
      aims: [{ of: 'old transaction', to: 'no old transaction', target: '≤ 2' }],
    });
  } finally {
    for (const { close } of arms) await close();
  }
}

async function arm(db: DatabaseName, name: string, isOpen: boolean) {
  let handled = (): void => {};
  @Injectable()
  class Handlers {
    @GroupHandler(/^single/, { name: 'single' })
    single() {
      handled();
    }
  }
  const app = await application(db, [], [Handlers], { worker: { concurrency: 10 } });
  const old = app.dataSource.createQueryRunner();
  if (isOpen) {
    // As pg_dump and mariadb-dump --single-transaction do.
    await old.startTransaction('REPEATABLE READ');
    await old.query('SELECT COUNT(*) FROM spark_delivery');
  }
  await fill(app, db);
  let next = 0;
  const run = async () => {
    const waits: number[] = [];
    for (let i = 0; i < EVENTS; i++) {
      const done = new Promise<void>((resolve) => (handled = resolve));
      await app.spark.emit(sparkEvent('single', `new ${++next}`));
      const committed = performance.now();
      await done;
      waits.push(performance.now() - committed);
      await delay(5 + Math.random() * 20);
    }
    return middle(waits);
  };
  const close = async () => {
    if (isOpen) await old.rollbackTransaction();
    await old.release();
    await app.close();
  };
  return { name, run, close };
}

/** Deliveries of the same handler that were available and are completed. */
async function fill({ dataSource, spark }: Application, db: DatabaseName): Promise<void> {
  await spark.pauseHandler('single');
  await dataSource.query(
    `INSERT INTO spark_event (event_key, event_group, depth, recorded_at${db === 'mariadb' ? ', token' : ''})
     SELECT ${db === 'mariadb' ? `CONCAT('single_', n)` : `'single_' || n`}, 'single', 0, 0${db === 'mariadb' ? `, ''` : ''}
     FROM (${numbers(db, HANDLED)}) x`,
  );
  await dataSource.query(
    `INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at)
     SELECT id, 'single', 'available', 0, 0, 0, ${Date.now() - 600_000} + id FROM spark_event`,
  );
  await dataSource.query(`UPDATE spark_delivery SET state = 'completed'`);
  await spark.resumeHandler('single');
}

await runBench(['postgres', 'mariadb'], dump);
