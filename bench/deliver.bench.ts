import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { compare, type Row } from './contest.js';
import type { DatabaseName } from './database.js';
import { arms, peers } from './peers/index.js';
import { CARRIED, carried, DISPATCHER } from './peers/spark-bullmq.js';
import { runBench } from './results.js';
import { workingOff } from './working-off.js';

const { values } = parseArgs({ options: { events: { type: 'string' }, carrier: { type: 'string' } }, strict: false });
const EVENTS = Number(values.events ?? 200_000);
const queues = Object.keys(peers).slice(1);

/** Events that are recorded already: until handlers that do nothing were called with all, by one process and by two. */
async function deliver(db: DatabaseName, rounds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const processes of [1, 2]) {
    const started = await Promise.all(Object.keys(arms).map((name) => workingOff(arms, name, EVENTS, processes)));
    try {
      rows.push(
        ...(await compare({
          bench: 'deliver',
          work: `${EVENTS} events, ${processes} ${processes === 1 ? 'process' : 'processes'}`,
          db,
          rounds,
          arms: started,
          aims: [...queues.map((of) => ({ of, to: 'spark', target: '≥ 1.2' })), { of: 'spark', to: 'hand-written' }],
        })),
      );
    } finally {
      for (const { close } of started) await close();
    }
  }
  return rows;
}

/** The same, where one more process sends the deliveries to the others by BullMQ. */
async function deliverByBullmq(db: DatabaseName, rounds: number): Promise<Row[]> {
  const all = { ...arms, ...carried };
  const rows: Row[] = [];
  for (const processes of [1, 2, 4]) {
    const started = [
      await workingOff(all, 'spark', EVENTS, processes),
      await workingOff(all, CARRIED, EVENTS, processes, DISPATCHER),
    ];
    const work = `${EVENTS} events by BullMQ, ${processes} ${processes === 1 ? 'worker' : 'workers'}`;
    const aims = [{ of: CARRIED, to: 'spark' }];
    try {
      rows.push(...(await compare({ bench: 'deliver', work, db, rounds, arms: started, aims })));
    } finally {
      for (const { close } of started) await close();
    }
  }
  return rows;
}

if (values.carrier !== undefined && values.carrier !== 'bullmq') throw new Error('--carrier takes bullmq');
await runBench(['postgres'], values.carrier === 'bullmq' ? deliverByBullmq : deliver);
