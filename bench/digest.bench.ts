import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { compare, figure, middle, type Row } from './contest.js';
import type { DatabaseName } from './database.js';
import { digests } from './peers/digests.js';
import { runBench } from './results.js';
import { workingOff } from './working-off.js';

const { values } = parseArgs({ options: { events: { type: 'string' } }, strict: false });
const EVENTS = Number(values.events ?? 100_000);

/** A backlog of 1,000 recipients, until handlers were called with all of it: with each event, with many in a call, and with digests. */
async function digest(db: DatabaseName, rounds: number): Promise<Row[]> {
  const [each, ...others] = Object.keys(digests) as [string, ...string[]];
  const started = await Promise.all(Object.keys(digests).map((name) => workingOff(digests, name, EVENTS, 1)));
  try {
    const work = `${EVENTS} events of 1000 recipients`;
    const aims = others.map((of) => ({ of, to: each }));
    const rows = await compare({ bench: 'digest', work, db, rounds, arms: started, aims });
    // The first round is to warm up.
    const cpu = new Map(started.map(({ name, cpu: rounded }) => [name, Number(middle(rounded.slice(1)).toFixed(0))]));
    const arms = Object.fromEntries(cpu);
    const ofCpu = aims.map(({ of, to }) => {
      const row = { bench: 'digest', work: `CPU of ${work}`, db, ratio: `${of} / ${to}`, rounds, arms };
      return figure({ ...row, target: null, median: cpu.get(of)! / cpu.get(to)! });
    });
    return [...rows, ...ofCpu];
  } finally {
    for (const { close } of started) await close();
  }
}

await runBench(['postgres'], digest);
