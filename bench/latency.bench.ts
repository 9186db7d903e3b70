import 'reflect-metadata';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { bare } from './application.js';
import { type Contest, type Row, rowsOf, roundsOf } from './contest.js';
import { type DatabaseName } from './database.js';
import { Order } from './entities.js';
import type { Timestamp } from './latency.program.js';
import { peers } from './peers/index.js';
import { runBench } from './results.js';

const { values } = parseArgs({ options: { events: { type: 'string' } }, strict: false });
const SAVES = Number(values.events ?? 200);
// pg-boss polls, each half second at most.
const LONGEST_WAIT = 1_500;

/** How long after the commit a handler starts, where nothing else happens: in the same process, and in another one. */
async function latency(db: DatabaseName, rounds: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const place of ['the same process', 'another process']) {
    const worst = new Map<string, number[]>();
    const arms = await Promise.all(
      Object.keys(peers).map(async (name) => {
        const { url, close } = await bare('postgres', [Order]);
        worst.set(name, []);
        const run = async () => {
          const waits = await measure(name, url, place === 'the same process' ? ['both'] : ['works', 'saves']);
          worst.get(name)!.push(at(waits, 0.99));
          return at(waits, 0.5);
        };
        return { name, run, close };
      }),
    );
    const aims = Object.keys(peers)
      .slice(1)
      .map((name) => ({ of: 'spark', to: name }));
    const contest: Contest = { bench: 'latency', work: `p50, ${place}`, db, rounds, arms, aims: aimed(aims, '≤ 1') };
    rows.push(...rowsOf(contest, await roundsOf(contest)));
    for (const all of worst.values()) all.shift();
    rows.push(...rowsOf({ ...contest, work: `p99, ${place}`, aims: aimed(aims, '≤ 2') }, worst));
    for (const { close } of arms) await close();
  }
  return rows;
}

const aimed = (aims: { of: string; to: string }[], target: string) =>
  aims.map((aim) => (aim.to === 'graphile-worker' ? { ...aim, target } : aim));

/** How long each order waited, in ms, sorted. */
async function measure(name: string, url: string, roles: readonly string[]): Promise<number[]> {
  const peer = await peers[name]!(url);
  await peer.reset();
  await peer.close();
  const processes: ChildProcess[] = [];
  for (const role of roles) {
    const started = fork(process.env.BENCH_PROGRAM!, [name, url, String(SAVES), role]);
    await once(started, 'message');
    processes.push(started);
  }
  await delay(LONGEST_WAIT);
  const saver = processes.at(-1)!;
  saver.send('begin');
  await once(saver, 'message');
  await delay(LONGEST_WAIT);
  const timestamps: Timestamp[] = [];
  for (const one of processes) {
    one.send('end');
    timestamps.push(...((await once(one, 'message')) as [Timestamp[]])[0]);
    await once(one, 'exit');
  }
  const committed = new Map(timestamps.flatMap(({ id, what, at: time }) => (what === 'committed' ? [[id, time]] : [])));
  const waits = timestamps.flatMap(({ id, what, at: time }) => (what === 'handled' ? [time - committed.get(id)!] : []));
  if (waits.length !== SAVES) throw new Error(`${name} handled ${waits.length} of ${SAVES}`);
  return waits.sort((a, b) => a - b);
}

const at = (sorted: readonly number[], share: number): number => sorted[Math.floor(sorted.length * share)]!;

await runBench(['postgres'], latency);
