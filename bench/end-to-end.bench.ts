import 'reflect-metadata';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { bare } from './application.js';
import { compare, type Row } from './contest.js';
import type { DatabaseName } from './database.js';
import { Order } from './entities.js';
import { arms, peers } from './peers/index.js';
import { runBench } from './results.js';

const { values } = parseArgs({ options: { events: { type: 'string' } }, strict: false });
const SAVES = Number(values.events ?? 50_000);
const queues = Object.keys(peers).slice(1);

/** Saves of new entities until each has been handled in the same process; a queue's arm saves, enqueues and works. */
async function endToEnd(db: DatabaseName, rounds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const concurrency of [1, 16]) {
    const started = await Promise.all(Object.keys(arms).map((name) => arm(name, concurrency)));
    const target = concurrency > 1 ? '≥ 1.1' : undefined;
    rows.push(
      ...(await compare({
        bench: 'end-to-end',
        work: `${SAVES} saves, ${concurrency} at a time`,
        db,
        rounds,
        arms: started,
        aims: [
          ...queues.map((of) => ({ of, to: 'spark', target })),
          { of: 'spark', to: 'hand-written' },
          { of: 'BullMQ', to: 'hand-written' },
        ],
      })),
    );
    for (const { close } of started) await close();
  }
  return rows;
}

async function arm(name: string, concurrency: number) {
  const { dataSource, url, close } = await bare('postgres', [Order]);
  const peer = await arms[name]!(url);
  await peer.reset();
  return {
    name,
    async prepare() {
      await peer.reset();
      await dataSource.query('TRUNCATE orders');
    },
    async run() {
      const app = fork(process.env.BENCH_PROGRAM!, [name, url, String(SAVES), String(concurrency)]);
      const [ms] = (await Promise.race([once(app, 'message'), once(app, 'exit')])) as [number];
      if (app.exitCode !== null || app.signalCode !== null)
        throw new Error(`${name} ended with ${app.exitCode ?? app.signalCode}`);
      await once(app, 'exit');
      return ms;
    },
    async close() {
      await peer.close();
      await close();
    },
  };
}

await runBench(['postgres'], endToEnd);
