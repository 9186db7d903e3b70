import { sparkMigrations } from 'nestjs-spark';
import type { DataSource, EntityManager, QueryRunner } from 'typeorm';
import type { DatabaseName } from '../database.js';

/**
 * The least that records events: by hand, through the raw driver, without JSON. It writes the same rows to the same tables
 * as Spark: what a wider row and its indexes cost is the database's share of the work.
 */
export interface HandWrittenLedger {
  /** Reads orders that the transaction has written: `isNew` where it has inserted them. */
  rows(manager: EntityManager, ids: readonly number[], isNew: boolean): Promise<OrderRow[]>;
  /** Enters the three events of entities, and opens their deliveries, in the manager's transaction. */
  enter(manager: EntityManager, ids: readonly number[]): Promise<void>;
  /** Asks which of the three events of entities are known. */
  known(manager: EntityManager, ids: readonly number[]): Promise<number>;
  /** Reads the keys of each group from a first to a last one along the index, at most twice as many as are given. */
  along(manager: EntityManager, keys: readonly string[][]): Promise<string[][]>;
  clear(): Promise<void>;
}

export interface OrderRow {
  readonly id: number;
  readonly title: string;
  readonly amount: number;
}

const GROUPS = ['order_created', 'order_paid', 'order_shipped'];
export const EVENT = 'event_key, event_group, entity, entity_id, source, depth, recorded_at';
export const DELIVERY = 'event_id, handler, state, attempt, priority, suspect, due_at';
export const OPENED = `'orders', 'available', 0, 0, 0`;

const keysOf = (ids: readonly number[]) => ids.flatMap((id) => GROUPS.map((group) => `${group}_${id}`));
const groupsOf = (ids: readonly number[]) => ids.flatMap(() => GROUPS);
const idsOf = (ids: readonly number[]) => ids.flatMap((id) => GROUPS.map(() => String(id)));

/** Asks how many of the three events of many entities are known: along the index, and for each where other keys lie between. */
export async function knownOfMany(
  byHandLedger: HandWrittenLedger,
  manager: EntityManager,
  ids: readonly number[],
): Promise<number> {
  const keys = GROUPS.map((group) => ids.map((id) => `${group}_${id}`).sort());
  const lists = await byHandLedger.along(manager, keys);
  const known = keys.reduce((sum, own, i) => sum + among(own, lists[i]!), 0);
  return known === ids.length * GROUPS.length ? known : byHandLedger.known(manager, ids);
}

/** How many of some keys are among others, all of them sorted. */
function among(keys: readonly string[], others: readonly string[]): number {
  let [at, count] = [0, 0];
  for (const key of keys) {
    while (at < others.length && others[at]! < key) at++;
    if (others[at] === key) count++;
  }
  return count;
}

const along = (list: string, parameter: (position: number) => string): string => {
  const ranges = GROUPS.map(
    (_, i) => `(SELECT ${list} FROM (SELECT event_key, event_group FROM hand_event
      WHERE event_key >= ${parameter(4 * i + 1)} AND event_key <= ${parameter(4 * i + 2)}
      ORDER BY event_key LIMIT ${parameter(4 * i + 3)}) e WHERE event_group = ${parameter(4 * i + 4)}) AS g${i}`,
  );
  return `SELECT ${ranges.join()}`;
};
const alongOf = (keys: readonly string[][]) =>
  keys.flatMap((own, i) => [own[0], own.at(-1), 2 * own.length, GROUPS[i]]);
const listsOf = (row: object): string[][] => Object.values(row).map((list: string) => list.split(','));

/** Makes the tables of the byHandLedger, as Spark's are. */
export async function makeTables(dataSource: DataSource): Promise<void> {
  const runner = dataSource.createQueryRunner();
  if (!(await runner.hasTable('hand_event')))
    for (const Migration of sparkMigrations({ tablePrefix: 'hand_' })) await new Migration().up(runner);
  await runner.release();
}

/** Makes its tables. */
export async function handWrittenLedger(db: DatabaseName, dataSource: DataSource): Promise<HandWrittenLedger> {
  await makeTables(dataSource);
  const clear = async () => {
    for (const table of ['hand_event', 'hand_delivery'])
      await dataSource.query(db === 'sqlite' ? `DELETE FROM ${table}` : `TRUNCATE TABLE ${table}`);
  };
  return { ...{ postgres, mariadb, sqlite }[db], clear };
}

// What each driver calls its connection is not in TypeORM's types.
const rawOf = (manager: EntityManager): Promise<any> => (manager.queryRunner as QueryRunner).connect();

type Statements = Omit<HandWrittenLedger, 'clear'>;

const postgres: Statements = {
  async rows(manager, ids) {
    const client = await rawOf(manager);
    const text = 'SELECT id, title, amount FROM orders WHERE id = ANY($1)';
    return (await client.query({ name: 'byHandLedger-rows', text, values: [ids] })).rows;
  },
  async enter(manager, ids) {
    const client = await rawOf(manager);
    await client.query({
      name: 'byHandLedger-enter',
      text: `WITH fresh AS (
          INSERT INTO hand_event (${EVENT}) SELECT k, g, 'Order', i, 'ThreeEvents.events', 0, $4::bigint
          FROM unnest($1::text[], $2::text[], $3::text[]) AS t(k, g, i) ON CONFLICT DO NOTHING RETURNING id)
        INSERT INTO hand_delivery (${DELIVERY}) SELECT id, ${OPENED}, $4 FROM fresh`,
      values: [keysOf(ids), groupsOf(ids), idsOf(ids), Date.now()],
    });
  },
  async known(manager, ids) {
    const client = await rawOf(manager);
    const text = 'SELECT event_key FROM hand_event WHERE event_key = ANY($1)';
    const { rows } = await client.query({ name: 'byHandLedger-known', text, values: [keysOf(ids)] });
    return rows.length;
  },
  async along(manager, keys) {
    const client = await rawOf(manager);
    const text = along(`string_agg(event_key, ',')`, (position) => `$${position}`);
    const { rows } = await client.query({ name: 'byHandLedger-along', text, values: alongOf(keys) });
    return listsOf(rows[0]);
  },
};

function queryOn(client: any) {
  return (sql: string, values: unknown[]): Promise<unknown[]> =>
    new Promise((resolve, reject) =>
      client.query(sql, values, (error: Error | null, result: unknown[]) => (error ? reject(error) : resolve(result))),
    );
}

const mariadb: Statements = {
  async rows(manager, ids, isNew) {
    const query = queryOn(await rawOf(manager));
    // Without the lock it would be the row as it was when the transaction began.
    const lock = isNew ? '' : 'LOCK IN SHARE MODE';
    return (await query(`SELECT id, title, amount FROM orders WHERE id IN (?) ${lock}`, [ids])) as OrderRow[];
  },
  async enter(manager, ids) {
    const query = queryOn(await rawOf(manager));
    const now = Date.now();
    const keys = keysOf(ids);
    const [groups, entities] = [groupsOf(ids), idsOf(ids)];
    const rows = keys.map((key, i) => [key, groups[i], 'Order', entities[i], 'ThreeEvents.events', 0, now, '']);
    await query(`INSERT IGNORE INTO hand_event (${EVENT}, token) VALUES ?`, [rows]);
    await query(
      `INSERT INTO hand_delivery (${DELIVERY}) SELECT id, ${OPENED}, ? FROM hand_event WHERE event_key IN (?)`,
      [now, keys],
    );
  },
  async known(manager, ids) {
    const query = queryOn(await rawOf(manager));
    const rows = await query('SELECT event_key FROM hand_event WHERE event_key IN (?)', [keysOf(ids)]);
    return rows.length;
  },
  async along(manager, keys) {
    const query = queryOn(await rawOf(manager));
    const range = `(SELECT event_key, event_group FROM hand_event
      WHERE event_key BETWEEN ? AND ? ORDER BY event_key LIMIT ?)`;
    const given = keys.flatMap((own) => [own[0], own.at(-1), 2 * own.length]);
    const rows = (await query(keys.map(() => range).join(' UNION ALL '), given)) as Record<string, string>[];
    return GROUPS.map((group) => rows.flatMap((row) => (row.event_group === group ? [row.event_key!] : [])));
  },
};

const statements = new WeakMap<object, Map<string, any>>();
function prepared(connection: any, sql: string): any {
  const own = statements.get(connection) ?? new Map<string, any>();
  statements.set(connection, own);
  if (!own.has(sql)) own.set(sql, connection.prepare(sql));
  return own.get(sql);
}

const sqlite: Statements = {
  async rows(manager, ids) {
    const row = prepared(await rawOf(manager), 'SELECT id, title, amount FROM orders WHERE id = ?');
    return ids.map((id) => row.get(id));
  },
  async enter(manager, ids) {
    const connection = await rawOf(manager);
    const now = Date.now();
    const event = prepared(
      connection,
      `INSERT INTO hand_event (${EVENT}) VALUES (?, ?, 'Order', ?, 'ThreeEvents.events', 0, ?) ON CONFLICT DO NOTHING`,
    );
    const delivery = prepared(connection, `INSERT INTO hand_delivery (${DELIVERY}) VALUES (?, ${OPENED}, ?)`);
    const [groups, entities] = [groupsOf(ids), idsOf(ids)];
    for (const [i, key] of keysOf(ids).entries()) {
      const { changes, lastInsertRowid } = event.run(key, groups[i], entities[i], now);
      if (changes > 0) delivery.run(lastInsertRowid, now);
    }
  },
  async known(manager, ids) {
    const connection = await rawOf(manager);
    const known = prepared(connection, 'SELECT 1 FROM hand_event WHERE event_key = ?');
    return keysOf(ids).filter((key) => known.get(key)).length;
  },
  async along(manager, keys) {
    const lists = prepared(
      await rawOf(manager),
      along('group_concat(event_key)', () => '?'),
    );
    return listsOf(lists.get(...alongOf(keys)));
  },
};
