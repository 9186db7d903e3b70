import { setTimeout as delay } from 'node:timers/promises';
import type { DataSource, EntityManager } from 'typeorm';
import { beforeEach, describe, expect, it } from 'vitest';
import { columnTypes } from '../libs/spark/src/database/schema/column-types.js';
import { execute, select, values, withNewRunner } from '../libs/spark/src/database/statement.js';
import { Rechecks } from '../libs/spark/src/store/rechecks.js';
import { databases } from './support/databases.js';
import { Row } from './support/row.entity.js';
import { gate, isWaiting, processesOn, tableOfRows } from './support/dialect.js';
import { enterRequest, entry } from './support/dialect-rows.js';

// What a dialect says of its database, and what it does with the tables of an application. What it does with Spark's tables is in
// dialect-conformance-of-events and dialect-conformance-of-deliveries.

type Isolation = 'READ COMMITTED' | 'SERIALIZABLE' | undefined;

const NOBODY_ELSE_WRITES = 'nobody else writes meanwhile';

describe.each(databases)('the dialect, on $name', ({ create }) => {
  const on = processesOn(create);
  let rows: string;

  beforeEach(async () => {
    rows = tableOfRows(on.db);
    for (const id of [1, 2, 3]) await insert(on.db.manager, id);
  });

  const insert = (manager: EntityManager, id: number, state = 'old') =>
    execute(manager, `INSERT INTO ${rows} (id, state) VALUES (:id, :state)`, { id, state });
  const update = (manager: EntityManager, id: number, state = 'new') =>
    execute(manager, `UPDATE ${rows} SET state = :state WHERE id = :id`, { id, state });
  const stateOf = async (manager: EntityManager, id: number) =>
    (await select<{ state: string }>(manager, `SELECT state FROM ${rows} WHERE id = :id`, { id }))[0]?.state;
  const ids = async (manager = on.other.manager) =>
    (await select<{ id: string }>(manager, `SELECT id FROM ${rows} ORDER BY id`)).map(({ id }) => Number(id));
  const failing = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => undefined,
      (error: unknown) => error,
    );

  describe('rowsByKey', () => {
    const read = (manager: EntityManager, keys: readonly (string | number | bigint)[], isNew = false) => {
      const sql = (condition: string) => `SELECT id, state FROM ${rows} WHERE ${condition}`;
      return on.dialect.rowsByKey(manager, { column: 'id', sql }, keys, isNew);
    };

    it('gives the rows that have the keys', async () => {
      const given = await on.db.transaction((manager) => read(manager, [3, 1, 99]));
      expect(given).toHaveLength(2);
      expect(given).toEqual(
        expect.arrayContaining([
          { id: 1, state: 'old' },
          { id: 3, state: 'old' },
        ]),
      );
      expect(await on.db.transaction((manager) => read(manager, [99]))).toEqual([]);
    });

    it('gives them as the transaction has written them', async () => {
      await on.db.transaction(async (manager) => {
        await update(manager, 1);
        await execute(manager, `DELETE FROM ${rows} WHERE id = 2`);
        await insert(manager, 4, 'inserted');
        await insert(manager, 5, 'inserted');
        expect(await read(manager, [1, 2])).toEqual([{ id: 1, state: 'new' }]);
        expect(await read(manager, [4], true)).toEqual([{ id: 4, state: 'inserted' }]);
        expect(await read(manager, [4, 5], true)).toHaveLength(2);
      });
    });

    it('gives what has been committed since the transaction read for the first time', async ({ skip }) => {
      skip(!on.dialect.skipsLocked, NOBODY_ELSE_WRITES);
      await on.db.transaction(async (manager) => {
        await ids(manager);
        for (const keys of [[1], [2, 3]]) {
          await (
            await on.hold(async (theirs) => {
              for (const id of keys) await update(theirs, id);
            })
          ).commit();
          expect((await read(manager, keys)).map((row) => (row as { state: string }).state)).toEqual(
            keys.map(() => 'new'),
          );
        }
      });
    });

    it('gives 500 rows at once', async () => {
      const many = Array.from({ length: 500 }, (_, i) => i + 1_000);
      const list = values(many.map((id) => [id, 'many']));
      await execute(on.db.manager, `INSERT INTO ${rows} (id, state) VALUES ${list.sql}`, list.parameters);
      expect(await on.db.transaction((manager) => read(manager, many))).toHaveLength(500);
    });

    it('takes keys that are text, whatever they hold', async () => {
      const keys = ['a', 'A', "o'clock", '\\', '%', '?', '$1', ':key', 'ä💡'];
      await on.db.transaction((manager) => on.dialect.enter(manager, enterRequest(keys)));
      const sql = (condition: string) => `SELECT event_key FROM ${on.tables.event} WHERE ${condition}`;
      for (const some of [...keys.map((key) => [key]), keys]) {
        const given = await on.db.transaction((manager) =>
          on.dialect.rowsByKey(manager, { column: 'event_key', sql }, [...some, 'unknown'], false),
        );
        expect(given.map((row) => (row as { event_key: string }).event_key).sort()).toEqual(some.toSorted());
      }
    });
  });

  describe('estimatedRows', () => {
    it('says about how many rows a table has, once the database has counted them', async () => {
      const list = values(Array.from({ length: 400 }, (_, i) => [i + 1_000, 'many']));
      await execute(on.db.manager, `INSERT INTO ${rows} (id, state) VALUES ${list.sql}`, list.parameters);
      const { type } = on.db.options;
      if (type !== 'better-sqlite3')
        await execute(on.db.manager, `ANALYZE ${type === 'postgres' ? '' : 'TABLE '}${rows}`);
      const estimated = await on.dialect.estimatedRows(on.db.manager, on.db.getMetadata(Row));
      expect(estimated).toBeGreaterThan(200);
      expect(estimated).toBeLessThan(4_000);
    });
  });

  describe('rowVersions', () => {
    it('tell which rows have changed since a boundary', async ({ skip }) => {
      const { rowVersions } = on.dialect;
      skip(!rowVersions, 'the database keeps no versions of rows');
      const metadata = on.db.getMetadata(Row);
      const look = (boundary?: string) => rowVersions!.look(on.db.manager, metadata, boundary);
      const changed = async (boundary: string) => {
        const { sql, parameters } = rowVersions!.changedSince((name) => name, boundary);
        const found = await select<{ id: string }>(on.db.manager, `SELECT id FROM ${rows} WHERE ${sql}`, parameters);
        return found.map(({ id }) => Number(id)).sort();
      };
      const open = await on.hold((theirs) => update(theirs, 2));
      const { boundary, obstacle } = await look();
      expect([typeof boundary, obstacle, boundary!.length <= 64]).toEqual(['string', undefined, true]);
      expect(await look(boundary)).toMatchObject({ isUsable: true });
      await update(on.db.manager, 3);
      await open.commit();
      // Transactions in other databases of the server may keep the boundary back.
      expect(await changed(boundary!)).toEqual(expect.arrayContaining([2, 3]));
      expect((await look(`1/${'0'.repeat(32)}`)).isUsable).toBeUndefined();
    });
  });

  describe('exclusively', () => {
    const alone = <T>(process: DataSource, work: (manager: EntityManager) => Promise<T>): Promise<T> =>
      withNewRunner(process, ({ manager }) => on.dialect.exclusively(manager, work));

    it('runs the works of two processes one after the other, and gives what each returns', async () => {
      const steps: string[] = [];
      const work = (name: string) => async (manager: EntityManager) => {
        steps.push(`${name} begins`);
        const id = Math.max(...(await ids(manager))) + 1;
        await delay(50);
        await insert(manager, id, name);
        steps.push(`${name} ends`);
        return id;
      };
      const given = await Promise.all([alone(on.db, work('a')), alone(on.other, work('b')), alone(on.db, work('c'))]);

      expect(given.toSorted()).toEqual([4, 5, 6]);
      expect(steps).toHaveLength(6);
      for (const at of [0, 2, 4]) expect(steps[at + 1]).toBe(steps[at]!.replace('begins', 'ends'));
      expect(await ids()).toEqual([1, 2, 3, 4, 5, 6]);
    });

    it('lets the next one in when the work throws', async () => {
      const error = new Error('on purpose');
      expect(await failing(alone(on.db, () => Promise.reject(error)))).toBe(error);
      expect(await alone(on.other, async () => 'next')).toBe('next');
    });
  });

  describe('whileUnread', () => {
    const writeUnread = (work = (manager: EntityManager): Promise<unknown> => update(manager, 1)) =>
      withNewRunner(on.db, ({ manager }) => on.dialect.whileUnread(manager, rows, work));

    it('waits for a transaction that has read the table, and gives what its work returns', async () => {
      const held = await on.hold((manager) => ids(manager));
      const writing = writeUnread(async (manager) => {
        await update(manager, 1);
        return 'written';
      });
      expect(await isWaiting(writing)).toBe(true);
      await held.commit();

      expect(await writing).toBe('written');
      expect(await stateOf(on.other.manager, 1)).toBe('new');
    });

    it('lets a transaction that reads the table meanwhile read what was written', async () => {
      const [begun, goOn] = [gate(), gate()];
      const writing = writeUnread(async (manager) => {
        await update(manager, 1);
        begun.open();
        await goOn.opened;
      });
      await begun.opened;
      const reading = on.other.transaction((manager) => stateOf(manager, 1));
      expect(await isWaiting(reading)).toBe(true);
      goOn.open();

      await writing;
      expect(await reading).toBe('new');
    });

    it('writes all the same where a transaction that has read the table does not end', async ({ skip }) => {
      skip(!on.dialect.skipsLocked, NOBODY_ELSE_WRITES);
      const held = await on.hold((manager) => ids(manager));
      await writeUnread();
      await held.commit();
      expect(await stateOf(on.other.manager, 1)).toBe('new');
    });

    it('lets others read and write again when the work throws', async () => {
      const error = new Error('on purpose');
      expect(await failing(writeUnread(() => Promise.reject(error)))).toBe(error);
      await update(on.other.manager, 1, 'theirs');
      await update(on.db.manager, 2, 'ours');
      expect([await stateOf(on.db.manager, 1), await stateOf(on.other.manager, 2)]).toEqual(['theirs', 'ours']);
    });
  });

  describe('isTransient', () => {
    /** Two transactions that have both done a first step before they go on. Returns what they failed with. */
    async function collide(
      isolation: Isolation,
      first: (manager: EntityManager, own: number) => Promise<unknown>,
      second: (manager: EntityManager, own: number) => Promise<unknown>,
    ): Promise<unknown[]> {
      const processes = [await on.connectPlainly(), await on.connectPlainly()];
      const arrived = processes.map(() => gate());
      const run = async (process: DataSource, i: number) => {
        const work = async (manager: EntityManager) => {
          await first(manager, i + 1);
          arrived[i]!.open();
          await Promise.all(arrived.map(({ opened }) => opened));
          await second(manager, i + 1);
        };
        try {
          await (isolation ? process.transaction(isolation, work) : process.transaction(work));
        } finally {
          arrived[i]!.open();
        }
      };
      const errors = await Promise.all(processes.map((process, i) => failing(run(process, i))));
      return errors.filter((error) => error !== undefined);
    }

    it('is true of one of two transactions that wait for each other', async () => {
      const errors = await collide(
        on.dialect.isolation,
        (manager, own) => update(manager, own),
        (manager, own) => update(manager, 3 - own),
      );
      expect(errors).toHaveLength(1);
      expect(on.dialect.isTransient(errors[0])).toBe(true);
    });

    it('is true of one of two transactions that cannot be put one before the other', async () => {
      const errors = await collide(
        'SERIALIZABLE',
        (manager) => ids(manager),
        (manager, own) => update(manager, own),
      );
      expect(errors).toHaveLength(1);
      expect(on.dialect.isTransient(errors[0])).toBe(true);
    });

    it('is false of what would fail again', async () => {
      const wrong = [
        insert(on.db.manager, 1),
        execute(on.db.manager, `INSERT INTO ${rows} (id, state) VALUES (9, NULL)`),
        execute(on.db.manager, 'SELECT wrong FROM nowhere'),
        execute(on.db.manager, 'no statement'),
        Promise.reject(new Error('deadlock')),
        Promise.reject('text'),
      ];
      const errors = await Promise.all(wrong.map(failing));
      for (const error of errors) {
        expect(error).toBeDefined();
        expect(on.dialect.isTransient(error)).toBe(false);
      }
    });
  });

  describe('clock', () => {
    const now = async (manager: EntityManager) => {
      const [row] = await select<{ at: number }>(manager, `SELECT ${on.dialect.clock} AS at`);
      return row!.at;
    };

    it('is the time in whole epoch milliseconds', async () => {
      const before = Date.now();
      const at = await now(on.db.manager);
      expect(Number.isInteger(at)).toBe(true);
      // A server's clock may be another one.
      expect(Math.abs(at - before)).toBeLessThan(5_000);
    });

    it('goes on within a transaction', async () => {
      await on.db.transaction(async (manager) => {
        const first = await now(manager);
        await delay(100);
        expect((await now(manager)) - first).toBeGreaterThanOrEqual(90);
      });
    });

    it('can be reckoned with', async () => {
      const sql = `SELECT ${on.dialect.clock} + :ttl AS at, CASE WHEN ${on.dialect.clock} + :ttl > ${on.dialect.clock} THEN 1 ELSE 0 END AS found`;
      const [row] = await select<{ at: number; found: number }>(on.db.manager, sql, { ttl: 60_000 });
      expect(Math.abs(row!.at - Date.now() - 60_000)).toBeLessThan(5_000);
      expect(row!.found).toBe(1);
    });
  });

  it('insertOrIgnore: inserts the rows that are not there', async () => {
    const add = (names: readonly string[]) => {
      const list = values(names.map((name) => ['source', name]));
      const sql = on.dialect.insertOrIgnore(`INTO ${on.tables.group} (source, name) VALUES ${list.sql}`);
      return execute(on.db.manager, sql, list.parameters);
    };
    await add(['a']);
    await execute(on.db.manager, `UPDATE ${on.tables.group} SET swept_at = 5`);
    await add(['b', 'a', 'A']);

    const found = await select(on.db.manager, `SELECT name, swept_at FROM ${on.tables.group} ORDER BY name`);
    expect(found).toEqual([
      { name: 'A', swept_at: null },
      { name: 'a', swept_at: 5 },
      { name: 'b', swept_at: null },
    ]);
  });

  describe('readOnly', () => {
    it('lets its work read', async () => {
      expect(await on.own.readOnly((manager) => ids(manager))).toEqual([1, 2, 3]);
    });

    it('refuses a write where the database can, and takes it back everywhere', async () => {
      const error = await failing(on.own.readOnly((manager) => insert(manager, 9)));
      const { before, within } = on.dialect.readOnly;
      expect(error !== undefined).toBe((before ?? within) !== undefined);
      expect(await ids()).toEqual([1, 2, 3]);
    });

    it('holds for that transaction alone', async () => {
      await on.own.readOnly((manager) => ids(manager));
      await on.own.run((manager) => insert(manager, 9));
      await insert(on.db.manager, 10);
      expect(await ids()).toEqual([1, 2, 3, 9, 10]);
    });
  });

  describe('transactions', () => {
    it('skipsLocked: passes over the rows that another transaction holds, or nobody else writes meanwhile', async () => {
      await on.hold((manager) => update(manager, 2));
      if (on.dialect.skipsLocked) {
        const free = `SELECT id FROM ${rows} ORDER BY id FOR UPDATE SKIP LOCKED`;
        const found = await on.db.transaction((manager) => select<{ id: string }>(manager, free));
        expect(found.map(({ id }) => Number(id))).toEqual([1, 3]);
      } else expect(await isWaiting(on.db.transaction((manager) => update(manager, 1)))).toBe(true);
    });

    it('locksNext: a claim of rechecks that finds nothing keeps no other from those that are due later', async ({
      skip,
    }) => {
      skip(!on.dialect.skipsLocked, NOBODY_ELSE_WRITES);
      const rechecks = new Rechecks(on.dialect, on.tables);
      const root = on.db.getMetadata(Row);
      const due = (at: number) => ({ ref: { root, id: String(at) }, due: at, attempt: 0, depth: 0, cause: null });
      await on.own.run((manager) => rechecks.add(manager, [due(1_000), due(2_000)], 0));
      const claim = (manager: EntityManager, now: number) =>
        rechecks.claim(manager, { roots: [root], now, after: undefined, limit: 10, by: String(now), ttl: 60_000 });
      expect((await on.hold((manager) => claim(manager, 1_000), on.dialect.isolation)).result).toHaveLength(1);
      expect(await on.own.run((manager) => claim(manager, 2_000))).toMatchObject([{ entity_id: '2000' }]);
    });

    it.for(['an application', 'Spark'])(
      'forUpdate: makes an INSERT … SELECT of %s hold the rows that it reads',
      async (whose) => {
        const copy = `INSERT INTO ${on.tables.group} (source, name) SELECT 'copy', state FROM ${rows} WHERE id = 2 ${on.dialect.forUpdate}`;
        const isolation = whose === 'Spark' ? on.dialect.isolation : undefined;
        const held = await on.hold((manager) => execute(manager, copy), isolation);
        const writing = on.db.transaction((manager) => update(manager, 2));
        expect(await isWaiting(writing)).toBe(true);
        await held.commit();
        await writing;
        expect(await stateOf(on.db.manager, 2)).toBe('new');
      },
    );

    const readTwice = async (run: (work: (manager: EntityManager) => Promise<unknown>) => Promise<unknown>) => {
      const read = await run(async (manager) => {
        const first = await stateOf(manager, 1);
        await (await on.hold((theirs) => update(theirs, 1))).commit();
        return [first, await stateOf(manager, 1)];
      });
      return (read as unknown[]).join(', ');
    };

    it('isolation: a transaction of Spark’s sees what others commit meanwhile', async ({ skip }) => {
      skip(!on.dialect.skipsLocked, NOBODY_ELSE_WRITES);
      expect(await readTwice((work) => on.own.run(work))).toBe('old, new');
    });

    it('readsMayBeStale: says whether one of an application’s does not', async ({ skip }) => {
      skip(!on.dialect.skipsLocked, NOBODY_ELSE_WRITES);
      const read = await readTwice((work) => on.db.transaction(work));
      expect(read).toBe(on.dialect.readsMayBeStale ? 'old, old' : 'old, new');
    });
  });

  it('returnsFromInsert: says whether an INSERT gives the rows that it inserted', async () => {
    const sql = `INSERT INTO ${rows} (id, state) VALUES (8, 'x'), (9, 'x') RETURNING id`;
    const given = await select<{ id: string }>(on.db.manager, sql).catch(() => []);
    expect(given.map(({ id }) => Number(id))).toEqual(on.dialect.returnsFromInsert(on.db) ? [8, 9] : []);
  });

  it('returnsFromUpdate: says whether a statement can insert by the rows that an UPDATE changed', async () => {
    const sql = `WITH changed AS (UPDATE ${rows} SET state = 'new' WHERE id > 1 RETURNING id, state)
      INSERT INTO ${rows} (id, state) SELECT id + 10, state FROM changed`;
    const error = await failing(execute(on.db.manager, sql));
    expect(on.dialect.returnsFromUpdate).toBe(error === undefined);
    expect(await ids()).toEqual(on.dialect.returnsFromUpdate ? [1, 2, 3, 12, 13] : [1, 2, 3]);
  });

  it('longestKey: the tables keep so many characters of a primary key, and distinguish them', async () => {
    // Where there is no such limit, the indexes still have one.
    const length = Math.min(on.dialect.longestKey, 600);
    const long = ['a', 'b', 'A'].map((last) => '💡'.repeat(length - 1) + last);
    const entries = long.map((entityId, i) => entry(`key ${i}`, { entityId }));
    await on.db.transaction((manager) => on.dialect.enter(manager, enterRequest([], { entries })));
    const list = values(long.map((id) => ['challenge', id, 1, 0, 0]));
    await execute(
      on.db.manager,
      `INSERT INTO ${on.tables.recheck} (entity, entity_id, due_at, attempt, depth) VALUES ${list.sql}`,
      list.parameters,
    );

    for (const table of [on.tables.event, on.tables.recheck])
      for (const id of long) {
        const sql = `SELECT entity_id FROM ${table} WHERE entity = 'challenge' AND entity_id = :id`;
        expect(await select(on.db.manager, sql, { id })).toEqual([{ entity_id: id }]);
      }
  });

  it('rechecksByTime: says how the table of rechecks is laid out', async () => {
    const { rechecksByTime } = on.dialect;
    const [table, types] = await withNewRunner(on.db, async (runner) => [
      (await runner.getTable(on.tables.plain.recheck))!,
      await columnTypes(runner),
    ]);
    const indexed = table.indices.flatMap(({ columnNames }) => columnNames);
    expect(types.rechecksByTime).toBe(rechecksByTime);
    expect(table.primaryColumns.map(({ name }) => name).sort()).toEqual(
      rechecksByTime ? ['due_at', 'entity', 'entity_id', 'id'] : ['id'],
    );
    expect(indexed.includes('entity')).toBe(!rechecksByTime);
    expect(indexed.includes('due_at')).toBe(!rechecksByTime);
  });
});
