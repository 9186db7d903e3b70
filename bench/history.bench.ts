import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { GroupHandler, sparkEvent } from 'nestjs-spark';
import { application } from './application.js';
import { compare, type Row } from './contest.js';
import type { DatabaseName } from './database.js';
import { runBench } from './results.js';
import { analyze, fill, Waits } from './waits.js';

const FINISHED: Record<DatabaseName, number> = { postgres: 5_000_000, mariadb: 500_000, sqlite: 1_000_000 };
const EVENTS = 20_000;
const AT_ONCE = 1_000;

/** What finished deliveries cost those that are entered and handled, in the same table: the latency of one, and the time of many. */
async function history(db: DatabaseName, rounds: number): Promise<Row[]> {
  const finished = FINISHED[db];
  const arms = [await arm(db, 'none finished', 0), await arm(db, 'finished', finished)];
  const contest = { bench: 'history', db, rounds };
  const aims = [{ of: 'finished', to: 'none finished', target: '≤ 1.2' }];
  const beside = `beside ${finished.toLocaleString('en')} finished`;
  try {
    return [
      ...(await compare({
        ...contest,
        work: `latency ${beside}`,
        arms: arms.map(({ name, one }) => ({ name, run: one })),
        aims,
      })),
      ...(await compare({
        ...contest,
        work: `${EVENTS.toLocaleString('en')} events ${beside}`,
        arms: arms.map(({ name, many }) => ({ name, run: many })),
        aims,
      })),
    ];
  } finally {
    for (const { close } of arms) await close();
  }
}

async function arm(db: DatabaseName, name: string, finished: number) {
  const waits = new Waits();
  @Injectable()
  class Handlers {
    @GroupHandler(/^(single|many)/, { name: 'single' })
    single() {
      waits.handled();
    }
  }
  const app = await application(db, [], [Handlers], { worker: { concurrency: 100 } });
  if (finished > 0) {
    await app.spark.pauseHandler('single');
    await fill(app, db, 'single', finished, '0');
    await app.dataSource.query(
      `UPDATE spark_delivery SET state = 'completed', attempt = 1, started_at = 0, finished_at = 0`,
    );
    await analyze(app, db);
    await app.spark.resumeHandler('single');
  }
  let next = 0;
  const many = async () => {
    let left = EVENTS;
    const done = new Promise<void>((resolve) => (waits.handled = () => --left === 0 && resolve()));
    for (let i = 0; i < EVENTS; i += AT_ONCE)
      await app.spark.emit(Array.from({ length: AT_ONCE }, () => sparkEvent('many', ++next)));
    await done;
    await app.spark.drain();
  };
  return { name, one: () => waits.latency(app), many, close: () => app.close() };
}

await runBench(['postgres', 'mariadb', 'sqlite'], history);
