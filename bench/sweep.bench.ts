import 'reflect-metadata';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { parseArgs } from 'node:util';
import { type DataSource, MoreThan, type Repository } from 'typeorm';
import { type Application, application, numbers } from './application.js';
import { compare, type Row } from './contest.js';
import type { DatabaseName } from './database.js';
import { Handler, Order, ThreeEvents } from './entities.js';
import { type HandWrittenLedger, handWrittenLedger, knownOfMany } from './hand-written/ledger.js';
import { SeedEvent, sweepLikeTheSeed } from './hand-written/seed.js';
import { runBench } from './results.js';

const { values } = parseArgs({ options: { rows: { type: 'string' }, only: { type: 'string' } }, strict: false });
const PAGE = 500;
const SAMPLE = 2_000;
const GROUPS = ['order_created', 'order_paid', 'order_shipped'];

/**
 * What sweeps and plans cost, where nothing has changed, where all events are known and where all are new; and what a second process
 * gives.
 */
async function sweep(db: DatabaseName, rounds: number): Promise<Row[]> {
  const rows = Number(values.rows ?? (db === 'postgres' ? 1_000_000 : 100_000));
  const some = Number(values.rows ?? 100_000);
  const contests: [name: string, rows: number, contest: Contest][] = [
    ...(db === 'postgres' ? [['changed', rows, nothingChanged] as [string, number, Contest]] : []),
    ...(db === 'postgres' ? [['processes', rows / 4, twoProcesses] as [string, number, Contest]] : []),
    ['known', rows, nothingNew],
    ['new', some, allNew],
  ];
  const found: Row[] = [];
  for (const [name, count, contest] of contests)
    if ((values.only ?? name) === name) found.push(...(await withOrders(db, count, rounds, contest)));
  return found;
}

type Contest = (db: DatabaseName, rounds: number, rows: number, spark: Application) => Promise<Row[]>;

async function withOrders(db: DatabaseName, rows: number, rounds: number, contest: Contest): Promise<Row[]> {
  const providers = [ThreeEvents, Handler];

  const version = contest === nothingChanged ? 'bench' : undefined;
  const spark = await application(db, [Order, SeedEvent], providers, { worker: false, live: false, version });
  const { dataSource } = spark;
  try {
    // The groups go through their first sweep: in it, deliveries are held back.
    await dataSource.query("INSERT INTO orders (id, title, amount) VALUES (1, 'a kettle', 1)");
    await spark.spark.sweep();
    await dataSource.query(
      `INSERT INTO orders (id, title, amount) SELECT n, 'a kettle', n FROM (${numbers(db, rows)}) x WHERE n > 1`,
    );
    return await contest(db, rounds, rows, spark);
  } finally {
    await spark.close();
  }
}

/** A sweep that passes over all rows, because none has changed. */
async function nothingChanged(db: DatabaseName, rounds: number, rows: number, { dataSource, spark }: Application) {
  await spark.sweep();
  await dataSource.query('VACUUM ANALYZE');
  // Transactions in other databases of the server may have been open.
  while ((await spark.sweep()).subjects > 0);
  const orders = dataSource.getRepository(Order);
  const [{ boundary }] = (await dataSource.query('SELECT boundary FROM spark_sweep')) as [{ boundary: string }];
  return compare({
    bench: 'sweep',
    work: `nothing changed, ${rows} entities`,
    db,
    rounds,
    arms: [
      { name: 'read', run: () => readByHand(orders, () => undefined) },
      {
        name: 'hand-written',
        async run() {
          const sql = `SELECT id FROM orders WHERE age(xmin) <= age(CAST(CAST('${boundary.split('/')[0]}' AS xid8) AS xid))`;
          if ((await dataSource.query(sql)).length > 0) throw new Error('changed');
        },
      },
      { name: 'spark', run: () => sweptBy(spark, 0, 0) },
    ],
    aims: [
      { of: 'spark', to: 'read', target: '≤ 0.25' },
      { of: 'spark', to: 'hand-written' },
    ],
  });
}

/** A sweep of all rows, where all events are known, by one process and by two. */
async function twoProcesses(db: DatabaseName, rounds: number, rows: number, { dataSource, spark }: Application) {
  await spark.sweep();
  await dataSource.query('VACUUM ANALYZE');
  const options = JSON.stringify({ type: 'postgres', url: (dataSource.options as { url: string }).url, poolSize: 10 });
  const processes = [0, 1].map(() => fork(process.env.BENCH_PROGRAM!, [options]));
  await Promise.all(processes.map((one) => once(one, 'message')));
  const together = async (some: readonly ChildProcess[]) => {
    const ended = Promise.all(some.map((one) => once(one, 'message')));
    for (const one of some) one.send('sweep');
    await ended;
  };
  // The next slot of the schedule is always the same one: it has not been swept yet.
  const prepare = () => dataSource.query('UPDATE spark_sweep SET slot = slot - 86400000');
  const figures = await compare({
    bench: 'sweep',
    work: `one table, ${rows} entities`,
    db,
    rounds,
    arms: [
      { name: '1 process', prepare, run: () => together(processes.slice(1)) },
      { name: '2 processes', prepare, run: () => together(processes) },
    ],
    aims: [{ of: '1 process', to: '2 processes', target: '≥ 1.5' }],
  });
  for (const one of processes) one.send('end');
  await Promise.all(processes.map((one) => once(one, 'exit')));
  return figures;
}

async function nothingNew(db: DatabaseName, rounds: number, rows: number, { dataSource, spark }: Application) {
  await spark.sweep();
  for (const group of GROUPS) {
    const key = db === 'mariadb' ? `CONCAT('${group}_', id)` : `'${group}_' || id`;
    const columns = ['key', 'group'].map((name) => dataSource.driver.escape(name)).join(', ');
    await dataSource.query(`INSERT INTO seed_event (${columns}) SELECT ${key}, '${group}' FROM orders`);
  }
  const byHandLedger = await handWrittenLedger(db, dataSource);
  await sweepByHand(dataSource, byHandLedger);
  if (db === 'postgres') await dataSource.query('VACUUM ANALYZE');
  const orders = dataSource.getRepository(Order);
  const runner = dataSource.createQueryRunner();
  const check = async (ids: number[]) => {
    const known = await knownOfMany(byHandLedger, runner.manager, ids);
    if (known !== ids.length * GROUPS.length) throw new Error(`${known} known`);
  };
  const figures = await compare({
    bench: 'sweep',
    work: `nothing new, ${rows} entities`,
    db,
    rounds,
    arms: [
      { name: 'read', run: () => readByHand(orders, () => undefined) },
      {
        name: 'hand-written',
        async run() {
          let checked: Promise<void> | undefined;
          // The next page is read meanwhile.
          await readByHand(orders, async (ids) => {
            await checked;
            checked = check(ids);
          });
          await checked;
        },
      },
      { name: 'spark', run: () => sweptBy(spark, rows, 0) },
      { name: 'plan, summary', run: () => plannedBy(spark, rows, 0) },
      { name: 'seed', run: () => sweepLikeTheSeed(dataSource, SAMPLE, unexpected) },
    ],
    aims: [
      { of: 'spark', to: 'read', target: '≤ 2.0' },
      { of: 'plan, summary', to: 'spark', target: '≤ 3' },
      { of: 'spark', to: 'hand-written' },
      { of: 'hand-written', to: 'read' },
      { of: 'seed', to: 'spark', target: db === 'sqlite' ? '≥ 8' : '≥ 50' },
    ],
  });
  await runner.release();
  return figures;
}

async function allNew(db: DatabaseName, rounds: number, rows: number, { dataSource, spark }: Application) {
  const byHandLedger = await handWrittenLedger(db, dataSource);
  const clear = async () => {
    await byHandLedger.clear();
    for (const table of ['spark_event', 'spark_delivery', 'seed_event'])
      await dataSource.query(db === 'sqlite' ? `DELETE FROM ${table}` : `TRUNCATE TABLE ${table}`);
  };
  return compare({
    bench: 'sweep',
    work: `all new, ${rows} entities`,
    db,
    rounds,
    arms: [
      { name: 'hand-written', prepare: clear, run: () => sweepByHand(dataSource, byHandLedger) },
      { name: 'spark', prepare: clear, run: () => sweptBy(spark, rows, rows * GROUPS.length) },
      { name: 'plan, summary', prepare: clear, run: () => plannedBy(spark, rows, rows * GROUPS.length) },
      {
        name: 'seed',
        prepare: clear,
        async run() {
          let handled = 0;
          const ms = await sweepLikeTheSeed(dataSource, SAMPLE, () => handled++);
          if (handled !== SAMPLE * GROUPS.length) throw new Error(`${handled} handled`);
          return ms;
        },
      },
    ],
    aims: [
      { of: 'spark', to: 'hand-written', target: '≤ 1.5' },
      { of: 'plan, summary', to: 'spark' },
      { of: 'seed', to: 'spark', target: db === 'sqlite' ? '≥ 4' : '≥ 18' },
    ],
  });
}

async function sweptBy(spark: Application['spark'], subjects: number, entered: number): Promise<void> {
  const report = await spark.sweep();
  if (report.subjects !== subjects || report.entered !== entered) throw new Error(JSON.stringify(report));
}

async function plannedBy(spark: Application['spark'], read: number, enter: number): Promise<void> {
  const summary = await spark.plan({ summary: true });
  if (summary.read !== read || summary.total.enter !== enter) throw new Error(JSON.stringify(summary));
}

/** A page of entities by getMany, what is done with it, the next page. */
async function readByHand(orders: Repository<Order>, work: (ids: number[]) => Promise<void> | void): Promise<void> {
  for (let last = 0, page = PAGE; page === PAGE;) {
    const found = await orders
      .createQueryBuilder('o')
      .where({ id: MoreThan(last) })
      .orderBy('o.id')
      .limit(PAGE)
      .getMany();
    if (found.length > 0) await work(found.map(({ id }) => id));
    page = found.length;
    last = found.at(-1)?.id ?? last;
  }
}

/** A page, its rows' events in one transaction, the next page. */
async function sweepByHand(dataSource: DataSource, byHandLedger: HandWrittenLedger): Promise<void> {
  for (let last = 0, page = PAGE; page === PAGE;) {
    const found = (await dataSource.query(
      `SELECT id, title, amount FROM orders WHERE id > ${last} ORDER BY id LIMIT ${PAGE}`,
    )) as Order[];
    if (found.length > 0)
      await dataSource.transaction((manager) =>
        byHandLedger.enter(
          manager,
          found.map(({ id }) => id),
        ),
      );
    page = found.length;
    last = found.at(-1)?.id ?? last;
  }
}

function unexpected(): never {
  throw new Error('new');
}

await runBench(['postgres', 'mariadb', 'sqlite'], sweep);
