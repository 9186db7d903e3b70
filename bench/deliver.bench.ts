import 'reflect-metadata';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { compare, type Row } from './contest.js';
import { type DatabaseName, ownDatabase } from './database.js';
import type { Peer } from './peers/peer.js';
import { arms, peers } from './peers/index.js';
import { runBench } from './results.js';

const { values } = parseArgs({ options: { events: { type: 'string' } }, strict: false });
const EVENTS = Number(values.events ?? 200_000);
const queues = Object.keys(peers).slice(1);

/** Events that are recorded already: until handlers that do nothing were called with all, by one process and by two. */
async function deliver(db: DatabaseName, rounds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const processes of [1, 2]) {
    const started = await Promise.all(Object.keys(arms).map((name) => contestant(name, processes)));
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

async function contestant(name: string, processes: number) {
  const { options, drop } = await ownDatabase('postgres');
  const { url } = options as { url: string };
  const peer: Peer = await arms[name]!(url);
  await peer.reset();
  let workers: ChildProcess[] = [];
  return {
    name,
    async prepare() {
      await peer.reset();
      await peer.fill(EVENTS);
      workers = Array.from({ length: processes }, () => fork(process.env.BENCH_PROGRAM!, [name, url]));
      for (const worker of workers) await once(worker, 'message');
    },
    async run() {
      const began = performance.now();
      let left = EVENTS;
      await new Promise<void>((resolve) => {
        for (const worker of workers) {
          worker.on('message', ({ handled }: { handled: number }) => {
            left -= handled;
            if (left <= 0) resolve();
          });
          worker.send('begin');
        }
      });
      const ms = performance.now() - began;
      if (left < 0) throw new Error(`${name} handled ${-left} events too many`);
      for (const worker of workers) {
        worker.send('end');
        await once(worker, 'exit');
      }
      return ms;
    },
    async close() {
      await peer.close();
      await drop();
    },
  };
}

await runBench(['postgres'], deliver);
