import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { GroupHandler } from 'nestjs-spark';
import { application } from './application.js';
import { compare, type Row } from './contest.js';
import type { DatabaseName } from './database.js';
import { runBench } from './results.js';
import { fill, Waits } from './waits.js';

const HANDLED = 500_000;
const WAITING = 100_000;

/** How long after its commit an event of one handler is handled, while a transaction is open that began before another's campaign. */
async function dump(db: DatabaseName, rounds: number): Promise<Row[]> {
  // One after the other: on MariaDB, an old transaction keeps what was removed in any database.
  const arms = [await arm(db, 'no old transaction', false), await arm(db, 'old transaction', true)];
  try {
    return await compare({
      bench: 'dump',
      work: `another handler's latency after ${HANDLED.toLocaleString('en')} of a campaign`,
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
  const waits = new Waits();
  @Injectable()
  class Handlers {
    // It goes on all the time, one at a time.
    @GroupHandler(/^campaign/, { name: 'campaign', concurrency: 1 })
    async campaign() {
      await delay(20);
    }
    @GroupHandler(/^single/, { name: 'single' })
    single() {
      waits.handled();
    }
  }
  const app = await application(db, [], [Handlers], { worker: { concurrency: 10 } });
  const old = app.dataSource.createQueryRunner();
  if (isOpen) {
    // As pg_dump and mariadb-dump --single-transaction do.
    await old.startTransaction('REPEATABLE READ');
    await old.query('SELECT COUNT(*) FROM spark_delivery');
  }
  // A campaign that began before: its deliveries are due at the same time, and most are completed.
  await app.spark.pauseHandler('campaign');
  await fill(app, db, 'campaign', HANDLED + WAITING, String(Date.now() - 600_000));
  await app.dataSource.query(`UPDATE spark_delivery SET state = 'completed' WHERE id <= ${HANDLED}`);
  await app.spark.resumeHandler('campaign');
  const close = async () => {
    if (isOpen) await old.rollbackTransaction();
    await old.release();
    await app.close();
  };
  return { name, run: () => waits.latency(app), close };
}

await runBench(['postgres', 'mariadb'], dump);
