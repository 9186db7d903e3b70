import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { EventSource, SPARK_CLOCK, sparkEvent } from 'nestjs-spark';
import { parseArgs } from 'node:util';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { application } from './application.js';
import { analyze, Challenge, Donation, fillChallenges } from './challenges.js';
import { compare, type Row } from './contest.js';
import { type DatabaseName, ownDatabase } from './database.js';
import { runBench } from './results.js';

@Injectable()
class Events {
  @EventSource(Challenge, { relations: { donations: true } })
  *events({ id, end, donations }: Challenge) {
    if (donations.length > 0)
      yield sparkEvent('ended', id, { donations: donations.length }, { at: new Date(Number(end)) });
  }
}

const { values } = parseArgs({ options: { most: { type: 'string' } }, strict: false });
const MOST = Number(values.most ?? 1_000_000);
const SIZES = [MOST / 100, MOST / 10, MOST];
const DUE = 1_000;
const SECOND = 1_000;
// MariaDB's locks of more at once would fill its memory.
const PART = 50_000;

/** Ticks with 1,000 rechecks due among ever more rechecks, of the same entities of one table, each with a to-many relation. */
async function tick(db: DatabaseName, rounds: number): Promise<Row[]> {
  const restore = db === 'mariadb' ? await withMemory() : undefined;
  try {
    return [...(await ticks(db, rounds, true)), ...(await ticks(db, rounds, false))];
  } finally {
    await restore?.();
  }
}

/** MariaDB comes with 128 MB for all its tables, less than these take: what is measured is a tick, not the disk. */
async function withMemory() {
  const { options, drop } = await ownDatabase('mariadb');
  const server = await new DataSource(options).initialize();
  const [{ size }] = (await server.query('SELECT @@innodb_buffer_pool_size AS size')) as [{ size: string }];
  const set = (bytes: number) => server.query(`SET GLOBAL innodb_buffer_pool_size = ${bytes}`);
  await set(Math.max(Number(size), 2 ** 31));
  return async () => {
    await set(Number(size));
    await server.destroy();
    await drop();
  };
}

/** Rechecks that were added in the order in which they come due lie side by side; others each on a page of their own. */
async function ticks(db: DatabaseName, rounds: number, inOrder: boolean): Promise<Row[]> {
  const { options, drop } = await ownDatabase(db);
  const start = Date.now() + 1_000 * 86_400_000;
  const arms: Awaited<ReturnType<typeof rechecks>>[] = [];
  try {
    for (const size of SIZES) {
      const arm = await rechecks(db, size, start, options);
      if (arms.length === 0) await fillChallenges(db, arm.dataSource, MOST, start, DUE);
      await arm.fill(inOrder);
      arms.push(arm);
    }
    await analyze(db, arms[0]!.dataSource);
    const [smallest, ...others] = arms.map(({ name }) => name);
    const aims = others.map((of) => ({ of, to: smallest!, target: '≤ 1.3' }));
    return await compare({
      bench: 'tick',
      work: `${DUE} rechecks due, ${inOrder ? 'added in their order' : 'scattered over the table'}`,
      db,
      rounds,
      arms,
      aims,
    });
  } finally {
    for (const { close } of arms) await close();
    await drop();
  }
}

/** So many rechecks, in tables of its own. Each second of its clock's, another 1,000 come due. */
async function rechecks(db: DatabaseName, size: number, start: number, options: DataSourceOptions) {
  let now = start - SECOND;
  const tablePrefix = `spark${size}_`;
  const clock = { provide: SPARK_CLOCK, useValue: { now: () => now } };
  const { dataSource, spark, close } = await application(
    db,
    [Challenge, Donation],
    [Events],
    { worker: { pollInterval: '1h' }, tablePrefix },
    [clock],
    options,
  );
  const end = dataSource.driver.escape('end');
  const challenge = dataSource.getRepository(Challenge);
  return {
    name: `${size} rechecks`,
    dataSource,
    close,
    async fill(inOrder: boolean) {
      const instant = (recheck: number) => start + (recheck / DUE) * SECOND;
      const order = inOrder ? `${end}, id` : 'id';
      for (let first = 0; first < MOST; first += PART) {
        const part = inOrder
          ? `${end} >= ${instant(first)} AND ${end} < ${instant(first + PART)}`
          : `id > ${first} AND id <= ${first + PART}`;
        await dataSource.query(
          `INSERT INTO ${tablePrefix}recheck (entity, entity_id, due_at, attempt, depth)
           SELECT 'challenge', CAST(id AS ${db === 'mariadb' ? 'CHAR' : 'text'}), ${end}, 0, 0 FROM challenge
           WHERE ${part} AND ${end} < ${instant(size)} ORDER BY ${order}`,
        );
      }
    },
    async prepare() {
      // Whoever comes first would else bring the rows of all into memory.
      await challenge.find({ where: { end: String(now + SECOND) }, relations: { donations: true } });
    },
    async run() {
      const before = await count(dataSource, tablePrefix);
      now += SECOND;
      const began = performance.now();
      await spark.drain();
      const ms = performance.now() - began;
      const fired = (await count(dataSource, tablePrefix)) - before;
      if (fired !== DUE) throw new Error(`${fired} events fired`);
      return ms;
    },
  };
}

async function count(dataSource: DataSource, tablePrefix: string): Promise<number> {
  const [row] = (await dataSource.query(`SELECT COUNT(*) AS n FROM ${tablePrefix}event`)) as { n: string }[];
  return Number(row!.n);
}

await runBench(['postgres', 'mariadb', 'sqlite'], tick);
