import 'reflect-metadata';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { DataSource } from 'typeorm';
import { numbers } from './application.js';
import { commitsDuring } from './commits.js';
import { figure, middle, type Row } from './contest.js';
import { type DatabaseName, ownDatabase } from './database.js';
import type { Order, Said } from './fleet.program.js';
import { runBench } from './results.js';

const options = { events: { type: 'string' }, only: { type: 'string' }, claimers: { type: 'string' } } as const;
const { values } = parseArgs({ options, strict: false });
const EVENTS = Number(values.events ?? 100_000);
const EMITTED = 400;
/** The time between two events of all processes together, in milliseconds. */
const PACE = 20;
const EMITTERS = [1, 2, 4, 8];
const CLAIMERS = typeof values.claimers === 'string' ? values.claimers.split(',').map(Number) : [1, 2, 4, 8, 16];
/** How many deliveries a process handles before its pace counts. */
const WARM = 1_000;

/** What an event costs as processes are added, and how many deliveries they handle. */
async function fleet(db: DatabaseName, rounds: number): Promise<Row[]> {
  const rows: Row[] = [];
  if (values.only !== 'throughput')
    for (const emits of ['one emits', 'all emit'] as const) rows.push(...(await commits(db, emits)));
  if (values.only !== 'commits') rows.push(...(await throughput(db, rounds)));
  return rows;
}

/** Commits an event, while processes that have the handler wait for events. */
async function commits(db: DatabaseName, emits: 'one emits' | 'all emit'): Promise<Row[]> {
  const arms: Record<string, number> = {};
  for (const count of EMITTERS) {
    const { url, processes, close } = await start(count);
    await Promise.all(processes.map((one) => tell(one, { start: true })));
    const emitting = emits === 'all emit' ? processes : processes.slice(0, 1);
    const each = { emit: EMITTED / emitting.length, pace: PACE * emitting.length };
    const sent = await commitsDuring(url, () => Promise.all(emitting.map((one) => tell(one, each))));
    arms[`${count}`] = Number((sent / EMITTED).toFixed(2));
    await close();
  }
  const work = `commits an event, ${emits}, 1 to ${EMITTERS.at(-1)} processes`;
  return EMITTERS.slice(1).map((count) =>
    figure({ bench: 'fleet', work, db, ratio: `${count} / 1`, median: arms[count]! / arms[1]!, target: '≤ 1.2', arms }),
  );
}

/** Deliveries a second, as processes that claim are added. */
async function throughput(db: DatabaseName, rounds: number): Promise<Row[]> {
  const { url, fill, close } = await filled();
  const taken = new Map<number, number[]>(CLAIMERS.map((count) => [count, []]));
  for (let round = 0; round < rounds; round++)
    for (const count of CLAIMERS) {
      await fill();
      const processes = await Promise.all(Array.from({ length: count }, () => begin(url)));
      const ms = await handleAll(processes);
      for (const one of processes) await end(one);
      taken.get(count)!.push(ms);
      console.error(`  fleet · ${count} claiming: ${Math.round((EVENTS / ms) * 1_000)} deliveries a second`);
    }
  await close();
  const arms = Object.fromEntries([...taken].map(([count, all]) => [count, Math.round(middle(all))]));
  const work = `throughput, ${EVENTS} deliveries, 1 to ${CLAIMERS.at(-1)} processes claim`;
  return CLAIMERS.slice(1).map((count, i) => {
    const before = CLAIMERS[i]!;
    const ratios = taken.get(before)!.map((ms, n) => ms / taken.get(count)![n]!);
    const [lowest, highest] = [Math.min(...ratios), Math.max(...ratios)];
    const ratio = `${count} / ${before}`;
    return figure({
      bench: 'fleet',
      work,
      db,
      ratio,
      median: middle(ratios),
      lowest,
      highest,
      rounds,
      target: '≥ 0.95',
      arms,
    });
  });
}

/** How long the processes take for all deliveries, in ms, at the pace that they have once each of them is warm. */
async function handleAll(processes: readonly ChildProcess[]): Promise<number> {
  const handled = new Map(processes.map((one) => [one, 0]));
  const total = () => [...handled.values()].reduce((sum, n) => sum + n, 0);
  let warm: { readonly at: number; readonly handled: number } | undefined;
  const all = new Promise<void>((resolve) => {
    for (const one of processes)
      one.on('message', (said: Said) => {
        if (!('handled' in said)) return;
        handled.set(one, handled.get(one)! + said.handled);
        if ([...handled.values()].every((n) => n >= WARM)) warm ??= { at: performance.now(), handled: total() };
        if (total() >= EVENTS) resolve();
      });
  });
  for (const one of processes) one.send({ start: true } satisfies Order);
  await all;
  if (!warm || warm.handled > EVENTS / 2)
    throw new Error('there were too few deliveries to measure the pace: see --events');
  return ((performance.now() - warm.at) / (EVENTS - warm.handled)) * EVENTS;
}

async function start(count: number) {
  const { options: own, drop } = await ownDatabase('postgres');
  const { url } = own as { url: string };
  // The first one makes the tables.
  const first = await begin(url);
  const processes = [first, ...(await Promise.all(Array.from({ length: count - 1 }, () => begin(url))))];
  const close = async () => {
    for (const one of processes) await end(one);
    await drop();
  };
  return { url, processes, close };
}

async function filled() {
  const { url, close } = await start(1);
  const dataSource = await new DataSource({ type: 'postgres', url }).initialize();
  const fill = async () => {
    await dataSource.query('TRUNCATE spark_event, spark_delivery');
    await dataSource.query(
      `INSERT INTO spark_event (event_key, event_group, depth, recorded_at)
       SELECT 'fleet_' || n, 'fleet', 0, 0 FROM (${numbers('postgres', EVENTS)}) x`,
    );
    await dataSource.query(
      `INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at)
       SELECT id, 'fleet', 'available', 0, 0, 0, 0 FROM spark_event`,
    );
    for (const table of ['event', 'delivery']) await dataSource.query(`VACUUM ANALYZE spark_${table}`);
  };
  const drop = async () => {
    await dataSource.destroy();
    await close();
  };
  return { url, fill, close: drop };
}

async function begin(url: string): Promise<ChildProcess> {
  const one = fork(process.env.BENCH_PROGRAM!, [url]);
  one.setMaxListeners(50);
  await once(one, 'message');
  return one;
}

/** Tells a process what to do. Resolves when it has done it. */
function tell(one: ChildProcess, order: Order): Promise<void> {
  return new Promise((resolve) => {
    const listen = (said: Said) => {
      if (!('done' in said)) return;
      one.off('message', listen);
      resolve();
    };
    one.on('message', listen);
    one.send(order);
  });
}

async function end(one: ChildProcess): Promise<void> {
  const ended = once(one, 'exit');
  one.send({ end: true } satisfies Order);
  await Promise.race([ended, delay(20_000)]);
}

await runBench(['postgres'], fleet);
