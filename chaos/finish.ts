import type { ChildProcess } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource } from 'typeorm';
import { count } from './figures.js';
import { isAlive } from './crew.js';

// Nothing changes for so long: what is left will stay.
const STANDSTILL = 60_000;

/** Starts a process that handles what is left and writes nothing, and stops it when the work with it is done. */
export type WithFinisher = (work: (actor: ChildProcess) => Promise<void>) => Promise<void>;

/** Nobody is struck any more: what is under way comes to rest, and a last sweep finds what was missed. */
export async function finish(
  db: DataSource,
  withFinisher: WithFinisher,
): Promise<{ settled: boolean; foundLate: number }> {
  if (!(await settle(db, withFinisher))) return { settled: false, foundLate: 0 };
  const ours = `SELECT COUNT(*) AS n FROM spark_event WHERE event_group <> 'outside'`;
  const before = await count(db, ours);
  await withFinisher(async (actor) => {
    const swept = new Promise((resolve) => actor.on('message', (message: any) => message.swept && resolve(message)));
    actor.send('sweep');
    await swept;
  });
  const foundLate = (await count(db, ours)) - before;
  return { settled: await settle(db, withFinisher), foundLate };
}

/** Lets fresh processes handle what is left, until nothing is. Poison kills some of them. */
async function settle(db: DataSource, withFinisher: WithFinisher): Promise<boolean> {
  let left = Infinity;
  for (let still = Date.now(); Date.now() - still < STANDSTILL;) {
    await withFinisher(async (actor) => {
      while (left > 0 && isAlive(actor) && Date.now() - still < STANDSTILL) {
        const now = await leftOver(db);
        if (now !== left) still = Date.now();
        left = now;
        await delay(200);
      }
    });
    if (left === 0) return true;
  }
  return false;
}

async function leftOver(db: DataSource): Promise<number> {
  const deliveries = `SELECT COUNT(*) AS n FROM spark_delivery WHERE state NOT IN ('completed', 'discarded')`;
  return (await count(db, deliveries)) + (await count(db, 'SELECT COUNT(*) AS n FROM spark_recheck'));
}
