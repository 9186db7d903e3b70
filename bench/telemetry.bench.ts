import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { type Contest, type Row, roundsOf, rowsOf } from './contest.js';
import type { DatabaseName } from './database.js';
import { instruments } from './instruments.js';
import { runBench } from './results.js';
import { workingOff } from './working-off.js';

const { values } = parseArgs({ options: { events: { type: 'string' } }, strict: false });
const EVENTS = Number(values.events ?? 200_000);
const [nothing, ...others] = Object.keys(instruments) as [string, ...string[]];

/**
 * What interceptors and telemetry cost a delivery whose handler does nothing. What an SDK does is not Spark's. The CPU time of the process
 * is compared, because that is what they cost, and the time that passes depends on all else that the machine does.
 */
async function telemetry(db: DatabaseName, rounds: number): Promise<Row[]> {
  const arms = await Promise.all(Object.keys(instruments).map((name) => workingOff(instruments, name, EVENTS, 1)));
  const aims = others.map((of) => ({ of, to: nothing, ...(of.includes('SDK') ? {} : { target: '≤ 1.05' }) }));
  const contest: Contest = { bench: 'telemetry', work: `${EVENTS} deliveries, CPU`, db, rounds, arms, aims };
  try {
    await roundsOf(contest);
    // The first round warms up.
    return rowsOf(contest, new Map(arms.map(({ name, cpu }) => [name, cpu.slice(1)])));
  } finally {
    for (const { close } of arms) await close();
  }
}

await runBench(['postgres'], telemetry);
