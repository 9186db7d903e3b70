import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { compare, type Row } from './contest.js';
import type { DatabaseName } from './database.js';
import { instruments } from './instruments.js';
import { runBench } from './results.js';
import { workingOff } from './working-off.js';

const { values } = parseArgs({ options: { events: { type: 'string' } }, strict: false });
const EVENTS = Number(values.events ?? 200_000);
const [nothing, ...others] = Object.keys(instruments) as [string, ...string[]];

/** What interceptors and telemetry cost a delivery whose handler does nothing. What an SDK does is not Spark's. */
async function telemetry(db: DatabaseName, rounds: number): Promise<Row[]> {
  const arms = await Promise.all(Object.keys(instruments).map((name) => workingOff(instruments, name, EVENTS, 1)));
  const target = (name: string) => (name.includes('SDK') ? {} : { target: '≤ 1.05' });
  try {
    return await compare({
      bench: 'telemetry',
      work: `${EVENTS} deliveries`,
      db,
      rounds,
      arms,
      aims: others.map((of) => ({ of, to: nothing, ...target(of) })),
    });
  } finally {
    for (const { close } of arms) await close();
  }
}

await runBench(['postgres'], telemetry);
