import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { GroupHandler } from 'nestjs-spark';
import { application } from './application.js';
import { compare, type Row } from './contest.js';
import type { DatabaseName } from './database.js';
import { runBench } from './results.js';
import { analyze, fill, Waits } from './waits.js';

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
  if (waiting > 0) {
    await fill(app, db, 'campaign', waiting, '0');
    await analyze(app, db);
  }
  return { name, run: () => waits.latency(app), close: () => app.close() };
}

await runBench(['postgres', 'mariadb', 'sqlite'], backlog);
