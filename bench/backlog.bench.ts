import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { type Application, application, numbers } from './application.js';
import { compare, middle, type Row } from './contest.js';
import type { DatabaseName } from './database.js';
import { runBench } from './results.js';

const EVENTS = 100;
const WAITING: Record<DatabaseName, number> = { postgres: 1_000_000, mariadb: 100_000, sqlite: 1_000_000 };

/** How long after its commit an event of one handler is handled, while many deliveries of another handler wait. */
async function backlog(db: DatabaseName, rounds: number): Promise<Row[]> {
  const waiting = WAITING[db];
  const arms = [await arm(db, 'none waiting', 0), await arm(db, 'waiting', waiting)];
  try {
    return await compare({
      bench: 'backlog',
      work: `another handler's latency, ${waiting.toLocaleString('en')} waiting`,
      db,
      rounds,
      arms,
      aims: [{ of: 'waiting', to: 'none waiting', target: '≤ 1.5' }],
    });
  } finally {
    for (const { close } of arms) await close();
  }
}

async function arm(db: DatabaseName, name: string, waiting: number) {
  let handled = (): void => {};
  @Injectable()
  class Handlers {
    // It goes on all the time, one at a time.
    @GroupHandler(/^campaign/, { name: 'campaign', concurrency: 1 })
    async campaign() {
      await delay(20);
    }
    @GroupHandler(/^single/, { name: 'single' })
    single(_event: SparkEvent) {
      handled();
    }
  }
  const app = await application(db, [], [Handlers], { worker: { concurrency: 10 } });
  if (waiting > 0) await fill(app, db, waiting);
  let next = 0;
  const run = async () => {
    const waits: number[] = [];
    for (let i = 0; i < EVENTS; i++) {
      const done = new Promise<void>((resolve) => (handled = resolve));
      await app.spark.emit(sparkEvent('single', ++next));
      const committed = performance.now();
      await done;
      waits.push(performance.now() - committed);
      await delay(5 + Math.random() * 20);
    }
    return middle(waits);
  };
  return { name, run, close: () => app.close() };
}

async function fill({ dataSource }: Application, db: DatabaseName, count: number): Promise<void> {
  await dataSource.query(
    `INSERT INTO spark_event (event_key, event_group, depth, recorded_at${db === 'mariadb' ? ', token' : ''})
     SELECT ${db === 'mariadb' ? `CONCAT('campaign_', n)` : `'campaign_' || n`}, 'campaign', 0, 0${db === 'mariadb' ? `, ''` : ''}
     FROM (${numbers(db, count)}) x`,
  );
  await dataSource.query(
    `INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at)
     SELECT id, 'campaign', 'available', 0, 0, 0, 0 FROM spark_event`,
  );
  if (db === 'postgres')
    for (const table of ['event', 'delivery']) await dataSource.query(`VACUUM ANALYZE spark_${table}`);
  else await dataSource.query(db === 'mariadb' ? 'ANALYZE TABLE spark_event, spark_delivery' : 'ANALYZE');
}

await runBench(['postgres', 'mariadb', 'sqlite'], backlog);
