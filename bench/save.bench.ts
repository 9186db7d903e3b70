import 'reflect-metadata';
import type { DataSource, EntityManager } from 'typeorm';
import { application, bare, numbers } from './application.js';
import { compare, type Row } from './contest.js';
import type { DatabaseName } from './database.js';
import { Handler, Order, order, ThreeEvents } from './entities.js';
import { handWrittenLedger } from './hand-written/ledger.js';
import { runBench } from './results.js';

const SAVES = 1_500;
const HUNDREDS = 100;
const ROWS = 100_000;

/** What a save costs: bare, with the least SQL by hand that reads the row back and records its three events, and with Spark. */
async function save(db: DatabaseName, rounds: number): Promise<Row[]> {
  const without = await bare(db, [Order]);
  const byHand = await bare(db, [Order]);
  const byHandLedger = await handWrittenLedger(db, byHand.dataSource);
  const spark = await application(db, [Order], [ThreeEvents, Handler], { worker: false });
  const places = { bare: without.dataSource, 'hand-written': byHand.dataSource, spark: spark.dataSource };
  const timed = (name: keyof typeof places, work: (dataSource: DataSource) => Promise<unknown>) => ({
    name,
    run: () => work(places[name]).then(() => undefined),
  });
  const aims = [
    { of: 'spark', to: 'hand-written', target: '≤ 1.25' },
    { of: 'spark', to: 'bare' },
  ];
  const read = async (manager: EntityManager, ids: readonly number[], isNew: boolean) => {
    const rows = await byHandLedger.rows(manager, ids, isNew);
    return rows.map(({ id }) => id);
  };
  const contest = { bench: 'save', db, rounds, aims };
  const rows: Row[] = [];
  try {
    const saveEach = async (dataSource: DataSource) => {
      for (let i = 0; i < SAVES; i++) await dataSource.getRepository(Order).save(order());
    };
    rows.push(
      ...(await compare({
        ...contest,
        work: 'something new',
        arms: [
          timed('bare', saveEach),
          timed('hand-written', async (dataSource) => {
            for (let i = 0; i < SAVES; i++)
              await dataSource.transaction(async (manager) => {
                const { id } = await manager.save(order());
                await byHandLedger.enter(manager, await read(manager, [id], true));
              });
          }),
          timed('spark', saveEach),
        ],
      })),
    );

    const hundred = () => Array.from({ length: 100 }, order);
    const saveHundred = async (dataSource: DataSource) => {
      for (let i = 0; i < HUNDREDS; i++) await dataSource.getRepository(Order).save(hundred());
    };
    rows.push(
      ...(await compare({
        ...contest,
        work: 'something new, 100 at once',
        arms: [
          timed('bare', saveHundred),
          timed('hand-written', async (dataSource) => {
            for (let i = 0; i < HUNDREDS; i++)
              await dataSource.transaction(async (manager) => {
                const saved = await manager.save(hundred());
                const ids = saved.map(({ id }) => id);
                await byHandLedger.enter(manager, await read(manager, ids, true));
              });
          }),
          timed('spark', saveHundred),
        ],
      })),
    );

    let amount = 1;
    const one = new Map<DataSource, Order>();
    for (const dataSource of Object.values(places)) one.set(dataSource, await dataSource.manager.save(order()));
    await byHand.dataSource.transaction((manager) => byHandLedger.enter(manager, [one.get(byHand.dataSource)!.id]));
    const change = async (dataSource: DataSource) => {
      for (let i = 0; i < SAVES; i++)
        await dataSource.getRepository(Order).save(Object.assign(one.get(dataSource)!, { amount: ++amount }));
    };
    rows.push(
      ...(await compare({
        ...contest,
        work: 'nothing new',
        arms: [
          timed('bare', change),
          timed('hand-written', async (dataSource) => {
            for (let i = 0; i < SAVES; i++)
              await dataSource.transaction(async (manager) => {
                const { id } = await manager.save(Object.assign(one.get(dataSource)!, { amount: ++amount }));
                if ((await byHandLedger.known(manager, await read(manager, [id], false))) !== 3)
                  throw new Error('not known');
              });
          }),
          timed('spark', change),
        ],
      })),
    );
    rows.push(...(await criteria(db, rounds, spark.dataSource, byHand.dataSource)));
  } finally {
    for (const { close } of [without, byHand, spark]) await close();
  }
  return rows;
}

/** An update of many rows by criteria: the same statement and the least that notes which rows it was. */
async function criteria(db: DatabaseName, rounds: number, spark: DataSource, byHandLedger: DataSource): Promise<Row[]> {
  let amount = 1;
  for (const dataSource of [spark, byHandLedger]) {
    await dataSource.query('DELETE FROM orders');
    await dataSource.query(
      `INSERT INTO orders (id, title, amount) SELECT n + 1000000, 'a kettle', 0 FROM (${numbers(db, ROWS)}) x`,
    );
    if (db === 'postgres') await dataSource.query('VACUUM ANALYZE orders');
  }
  const text = db === 'mariadb' ? 'CHAR' : 'text';
  const arms = [
    {
      name: 'hand-written',
      prepare: () => byHandLedger.query('DELETE FROM hand_recheck'),
      run: () =>
        byHandLedger.transaction(async (manager) => {
          await manager.query(`UPDATE orders SET amount = ${++amount} WHERE title = 'a kettle'`);
          await manager.query(
            `INSERT INTO hand_recheck (entity, entity_id, due_at, attempt, depth)
             SELECT 'Order', CAST(id AS ${text}), ${Date.now()}, 0, 0 FROM orders WHERE title = 'a kettle'`,
          );
        }),
    },
    {
      name: 'spark',
      prepare: () => spark.query('DELETE FROM spark_recheck'),
      run: async () => void (await spark.manager.update(Order, { title: 'a kettle' }, { amount: ++amount })),
    },
  ];
  const aims = [{ of: 'spark', to: 'hand-written', target: '≤ 1.25' }];
  return compare({ bench: 'save', work: `criteria update of ${ROWS} rows`, db, rounds, arms, aims });
}

await runBench(['postgres', 'mariadb', 'sqlite'], save);
