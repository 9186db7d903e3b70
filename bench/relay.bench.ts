import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { compare, figure, middle, type Row } from './contest.js';
import type { DatabaseName } from './database.js';
import { relays } from './peers/relays.js';
import { runBench } from './results.js';
import { workingOff } from './working-off.js';

const { values } = parseArgs({ options: { events: { type: 'string' } }, strict: false });
const EVENTS = Number(values.events ?? 100_000);
const TARGET = '≥ 2';

/** A backlog, until RabbitMQ has confirmed all of it: by a relay, and by a handler that emits each event. */
async function relay(db: DatabaseName, rounds: number): Promise<Row[]> {
  const names = Object.keys(relays);
  const started = await Promise.all(names.map((name) => workingOff(relays, name, EVENTS, 1)));
  const [to, of] = names as [string, string];
  try {
    const work = `${EVENTS} events to RabbitMQ`;
    const rows = await compare({ bench: 'relay', work, db, rounds, arms: started, aims: [{ of, to, target: TARGET }] });
    // The first round is to warm up.
    const cpu = new Map(started.map(({ name, cpu: rounded }) => [name, Number(middle(rounded.slice(1)).toFixed(0))]));
    const median = cpu.get(of)! / cpu.get(to)!;
    const row = { bench: 'relay', work: `CPU of ${work}`, db, ratio: `${of} / ${to}`, target: TARGET, rounds };
    return [...rows, figure({ ...row, median, arms: Object.fromEntries(cpu) })];
  } finally {
    for (const { close } of started) await close();
  }
}

await runBench(['postgres'], relay);
