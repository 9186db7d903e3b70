import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { compare, type Row } from './contest.js';
import type { DatabaseName } from './database.js';
import { arms, peers } from './peers/index.js';
import { runBench } from './results.js';
import { workingOff } from './working-off.js';

const { values } = parseArgs({ options: { events: { type: 'string' } }, strict: false });
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

await runBench(['postgres'], deliver);
