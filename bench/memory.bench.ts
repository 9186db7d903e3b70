import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import { parseArgs } from 'node:util';
import { application } from './application.js';
import { analyze, Challenge, Donation, fillChallenges } from './challenges.js';
import { figure, type Row } from './contest.js';
import { type DatabaseName, ownDatabase } from './database.js';
import { spark as sparkPeer } from './peers/spark.js';
import { runBench } from './results.js';

@Injectable()
class Events {
  @EventSource(Challenge, { relations: { donations: true } })
  async events({ id, donations }: Challenge) {
    await Promise.resolve();
    return donations.length >= 2 && id % 100 === 0
      ? [sparkEvent('supported', id, { amount: donations[0]!.amount })]
      : [];
  }
}

const { values } = parseArgs({ options: { rows: { type: 'string' } }, strict: false });
const ENTITIES = Number(values.rows ?? 1_000_000);
const EVENTS = ENTITIES / 5;

/** How much memory grows while many entities are swept, and many events delivered. */
async function memory(db: DatabaseName): Promise<Row[]> {
  return [await sweeping(db), ...(db === 'postgres' ? [await delivering(db)] : [])];
}

/** Entities with a to-many relation, by a source that awaits. */
async function sweeping(db: DatabaseName): Promise<Row> {
  const { dataSource, spark, close } = await application(db, [Challenge, Donation], [Events], { live: false });
  try {
    await fillChallenges(db, dataSource, ENTITIES);
    await analyze(db, dataSource);
    const readings = new Memory(ENTITIES);
    spark.sweeps$.subscribe(({ subjects }) => readings.at(subjects));
    const { durationMs } = await spark.sweep();
    return { ...readings.row(db, `sweep of ${ENTITIES} entities`), arms: { sweep: durationMs } };
  } finally {
    await close();
  }
}

async function delivering(db: DatabaseName): Promise<Row> {
  const { options, drop } = await ownDatabase(db);
  const peer = await sparkPeer((options as { url: string }).url);
  await peer.reset();
  await peer.fill(EVENTS);
  const readings = new Memory(EVENTS);
  let handled = 0;
  await new Promise<void>((resolve, reject) => {
    const onHandled = () => {
      readings.at(++handled);
      if (handled === EVENTS) resolve();
    };
    peer.work(onHandled).catch(reject);
  });
  await peer.close();
  await drop();
  return readings.row(db, `delivery of ${EVENTS} events`);
}

/** Reads the process's memory at each tenth of the work. */
class Memory {
  private readonly read: number[] = [];

  constructor(private readonly whole: number) {}

  at(done: number): void {
    if (done < ((this.read.length + 1) * this.whole) / 10) return;
    globalThis.gc!();
    this.read.push(process.memoryUsage().rss / 2 ** 20);
    console.error(`  memory · ${done} of ${this.whole}: ${this.read.at(-1)!.toFixed(0)} MB`);
  }

  row(db: DatabaseName, work: string): Row {
    const [first, ...others] = this.read;
    const median = Math.max(...others) - first!;
    return figure({ bench: 'memory', work, db, ratio: 'MB grown after the first tenth', median, target: '≤ 64' });
  }
}

await runBench(['postgres', 'mariadb', 'sqlite'], memory);
