import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { compare, figure, middle, type Row } from './contest.js';
import type { DatabaseName } from './database.js';
import { relays } from './peers/relays.js';
import { runBench } from './results.js';
import { workingOff } from './working-off.js';

const { values } = parseArgs({ options: { events: { type: 'string' } }, strict: false });
const EVENTS = Number(values.events ?? 20_000);
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
    const cpu = started.map((arm) => middle(arm.cpu.slice(1)));
    const arms = Object.fromEntries(names.map((name, i) => [name, Number(((cpu[i]! * 1_000) / EVENTS).toFixed(1))]));
    const ratio = `${of} / ${to}`;
    const inMicroseconds = 'CPU an event to RabbitMQ, in µs';
    return [
      ...rows,
      figure({
        bench: 'relay',
        work: inMicroseconds,
        db,
        ratio,
        median: cpu[1]! / cpu[0]!,
        target: TARGET,
        arms,
        rounds,
      }),
    ];
  } finally {
    for (const { close } of started) await close();
  }
}

await runBench(['postgres'], relay);
