import { beforeEach, describe, expect, it } from 'vitest';
import type { OpenQueue } from '../libs/spark/src/database/claim-queues.js';
import type { ClaimRequest, Completion, EnterRequest } from '../libs/spark/src/database/dialect.js';
import type { DiscardedRequest } from '../libs/spark/src/database/latest-discarded.js';
import type { EntityManager } from 'typeorm';
import { execute, select } from '../libs/spark/src/database/statement.js';
import { databases } from './support/databases.js';
import { isWaiting, processesOn } from './support/dialect.js';
import { deliveriesOn, enterRequest, entry, handler, NOW } from './support/dialect-rows.js';

describe.each(databases)('the dialect, of deliveries, on $name', ({ create }) => {
  const on = processesOn(create);

  const queue = (name: string, more: Partial<OpenQueue> = {}): OpenQueue => {
    return {
      handler: name,
      priority: 0,
      partition: '',
      from: 0,
      fromId: 0,
      of: name.length,
      room: 1_000,
      connects: false,
      ...more,
    };
  };
  const enter = (request: EnterRequest) => on.db.transaction((manager) => on.dialect.enter(manager, request));
  const enterKeys = (keys: readonly string[]) => enter(enterRequest(keys));
  const deliveries = () => deliveriesOn(on);
  const deliveryOf = async (key: string) => (await deliveries()).find((row) => row.event_key === key)!;
  const claimRequest = (more: Partial<ClaimRequest> = {}): ClaimRequest => ({
    worker: 'us',
    queues: [queue('mail'), queue('badge')],
    limit: 100,
    connections: 100,
    now: NOW,
    suspect: false,
    durable: false,
    passed: [],
    ...more,
  });
  /** The request with the queues that have something, as a process claims. */
  const narrowed = async (more: Partial<ClaimRequest> = {}): Promise<ClaimRequest> => {
    const request = claimRequest(more);
    return { ...request, queues: await on.dialect.waiting(on.db.manager, request) };
  };
  const claimed = async (more: Partial<ClaimRequest> = {}) => {
    const request = await narrowed(more);
    return on.own.runShort((manager) => on.dialect.claim(manager, request));
  };
  const claim = async (more: Partial<ClaimRequest> = {}) => (await claimed(more)).rows;
  const holdClaim = (request: ClaimRequest) =>
    on.hold((manager) => on.dialect.claim(manager, request), on.dialect.isolation);
  const claimKeys = async (more: Partial<ClaimRequest> = {}) => (await claim(more)).map(({ event }) => event.key);
  /** Opens a delivery of an event with this key. */
  const deliver = (key: string, { to = 'mail', priority = 0, due = NOW } = {}) =>
    enter(enterRequest([key], { opened: [handler(to, { priority })], now: due }));
  const change = async (key: string, set: string) => {
    const { id } = await deliveryOf(key);
    await execute(on.db.manager, `UPDATE ${on.tables.delivery} SET ${set} WHERE id = :id`, { id });
  };

  /** Enters events of tenants, whose mails are partitioned by these, and whose badges are not. */
  const enterPartitions = (tenants: readonly string[]) =>
    enter(
      enterRequest([], {
        entries: tenants.map((tenant, i) =>
          entry(`key ${i}`, { metadata: tenant === '' ? null : JSON.stringify({ tenant }) }),
        ),
        opened: [handler('mail', { partitionBy: 'tenant' }), handler('badge')],
      }),
    );

  /** How many rows of the deliveries work reads. SQLite does not count them. */
  const rowsRead = (work: (manager: EntityManager) => Promise<unknown>): Promise<number> =>
    on.db.transaction('READ COMMITTED', async (manager) => {
      const before = await counted(manager);
      await work(manager);
      return (await counted(manager)) - before;
    });
  const counted = async (manager: EntityManager): Promise<number> => {
    const sql = on.dialect.worksByStatement
      ? `SELECT seq_tup_read + idx_tup_fetch AS n FROM pg_stat_xact_user_tables WHERE relname = 'spark_delivery'`
      : `SELECT SUM(variable_value) AS n FROM information_schema.session_status
         WHERE variable_name IN ('handler_read_next', 'handler_read_key', 'handler_read_rnd_next')`;
    return Number((await select<{ n: string }>(manager, sql))[0]!.n);
  };
  /** Deliveries of one handler that wait to be claimed, for a retry, or for a process that has the handler. */
  const pile = async (count: number) => {
    for (const [priority, due] of [
      [0, NOW - 1],
      [1, NOW + 1_000],
    ] as const) {
      const keys = Array.from({ length: count }, (_, i) => `${priority} ${i}`).sort();
      await enter(enterRequest(keys, { opened: [handler('mail', { priority })], now: due }));
    }
    // Claims may be planned by what the last look has found.
    await on.dialect.queuesOf(on.db.manager, ['mail']);
  };

  describe('claim', () => {
    it('gives the delivery with its event, and counts the attempt', async () => {
      const event = entry('full', {
        entityId: '7',
        context: '{"a":"ä"}',
        at: NOW - 5,
        until: NOW + 5,
        depth: 3,
        metadata: '{"b":1}',
      });
      const emitted = entry('void', { entity: null, entityId: null, source: null });
      // The ids of the deliveries are not those of their events.
      await enter(enterRequest(['unhandled'], { opened: [] }));
      await enter(enterRequest([], { entries: [event, emitted] }));
      const [first, second] = await claim();

      const { id } = await deliveryOf('full');
      expect(first).toMatchObject({ id, handler: 'mail', attempt: 1 });
      expect(first!.event).toEqual(event);
      expect(String(first!.event_id)).toBe((await deliveryOf('full')).event_id);
      expect(second!.event).toEqual(emitted);
    });

    it('makes it the worker’s', async () => {
      await deliver('a');
      await change('a', 'attempt = 4');
      expect(await claim({ worker: 'me', now: NOW + 9 })).toMatchObject([{ attempt: 5 }]);
      expect(await deliveryOf('a')).toMatchObject({
        state: 'running',
        attempt: 5,
        claimed_by: 'me',
        started_at: NOW + 9,
        due_at: NOW,
        finished_at: null,
      });
      expect(await claim()).toEqual([]);
    });

    it('gives those of one queue after the other, of these the longest due, of these the oldest', async () => {
      await deliver('z', { due: NOW - 1 });
      await deliver('y', { due: NOW - 1 });
      await deliver('late', { due: NOW });
      await deliver('low', { priority: 9, due: NOW - 100 });
      await deliver('high', { priority: -3, due: NOW });
      await deliver('badge', { to: 'badge', due: NOW - 9 });
      const queues = [queue('mail', { priority: -3 }), queue('mail'), queue('badge'), queue('mail', { priority: 9 })];
      expect(await claimKeys({ queues })).toEqual(['high', 'z', 'y', 'late', 'badge', 'low']);
    });

    it('gives no more than the limit, says whether there may be more, and leaves the rest to others', async () => {
      for (const priority of [5, 1, 4, 2, 3])
        await deliver(`priority ${priority}`, { priority, due: NOW - 10 * priority });
      const queues = [1, 2, 3, 4, 5].map((priority) => queue('mail', { priority }));
      const some = async () => {
        const { rows, isMore } = await claimed({ queues, limit: 2 });
        return [isMore, ...rows.map(({ event }) => event.key)];
      };
      expect(await some()).toEqual([true, 'priority 1', 'priority 2']);
      expect(await some()).toEqual([true, 'priority 3', 'priority 4']);
      expect(await some()).toEqual([false, 'priority 5']);
      expect(await some()).toEqual([false]);
    });

    it('gives a handler no more than it has room for, over all its queues and names', async () => {
      for (const key of ['a', 'b', 'c']) await deliver(key);
      await deliver('later', { priority: 1 });
      await deliver('former', { to: 'letter' });
      await deliver('badge', { to: 'badge' });
      const own = { of: 0, room: 4 };
      const queues = [
        queue('mail', own),
        queue('letter', own),
        queue('mail', { ...own, priority: 1 }),
        queue('badge', { of: 1 }),
      ];
      expect((await claimKeys({ queues })).sort()).toEqual(['a', 'b', 'badge', 'c', 'former']);
      expect(await claimKeys({ queues })).toEqual(['later']);
    });

    it('gives no more of queues that connect than there are connections, also over several handlers', async () => {
      for (const to of ['mail', 'badge', 'log']) for (const key of ['a', 'b']) await deliver(`${to} ${key}`, { to });
      const connects = true;
      const queues = [queue('mail', { of: 0, connects }), queue('badge', { of: 1, connects }), queue('log', { of: 2 })];
      const given = await claimKeys({ queues, connections: 3 });
      expect(given).toEqual(['mail a', 'mail b', 'badge a', 'log a', 'log b']);
      expect(await claimKeys({ queues, connections: 3 })).toEqual(['badge b']);
    });

    it('gives what is due, at the instant itself', async () => {
      await deliver('due');
      await deliver('later', { due: NOW + 1 });
      expect(await claimKeys()).toEqual(['due']);
    });

    it('gives what is available', async () => {
      for (const state of ['held', 'discarded', 'completed', 'running', 'available']) {
        await deliver(state);
        await change(state, `state = '${state}'`);
      }
      expect(await claimKeys()).toEqual(['available']);
    });

    it('gives deliveries of the handlers that are named', async () => {
      await deliver('a');
      await deliver('b', { to: 'Mail' });
      await deliver('c', { to: 'badge' });
      expect(await claimKeys({ queues: [queue('mail')] })).toEqual(['a']);
      expect(await claimKeys({ queues: [queue('badge'), queue('nobody')] })).toEqual(['c']);
      expect(await claimKeys()).toEqual([]);
    });

    it('gives nothing of a handler that is paused, as others have committed it', async () => {
      await deliver('a');
      await deliver('b', { to: 'badge' });
      const pause = `INSERT INTO ${on.tables.pause} (handler, paused_at) VALUES ('mail', 1)`;
      await execute(on.other.manager, pause);
      expect(await claimKeys()).toEqual(['b']);
      await execute(on.other.manager, `DELETE FROM ${on.tables.pause}`);
      expect(await claimKeys()).toEqual(['a']);
    });

    it('gives what a process may have died of only when that is asked for', async () => {
      await deliver('a');
      await deliver('b');
      await change('a', 'suspect = 1');
      expect(await claimKeys({ suspect: true })).toEqual(['a']);
      expect(await claimKeys({ suspect: true })).toEqual([]);
      expect(await claimKeys()).toEqual(['b']);
    });

    it('leaves out what is passed', async () => {
      for (const key of ['a', 'b', 'c']) await deliver(key);
      const passed = [(await deliveryOf('a')).id, (await deliveryOf('c')).id];
      expect(await claimKeys({ passed })).toEqual(['b']);
      expect(await claimKeys({ passed: passed.slice(1) })).toEqual(['a']);
    });

    it('passes over what another process is claiming, or waits for it', async () => {
      for (const key of ['a', 'b', 'c', 'd']) await deliver(key);
      const held = await holdClaim(claimRequest({ worker: 'them', limit: 2 }));
      const ours = claimKeys({ limit: 2 });
      if (on.dialect.skipsLocked) await ours;
      else expect(await isWaiting(ours)).toBe(true);
      await held.commit();

      expect(held.result.rows.map(({ event }) => event.key)).toEqual(['a', 'b']);
      expect(await ours).toEqual(['c', 'd']);
    });

    it('waits for no event that is being entered', async ({ skip }) => {
      skip(!on.dialect.skipsLocked, 'nobody else writes meanwhile');
      await deliver('a');
      await on.hold((manager) => on.dialect.enter(manager, enterRequest(['b', 'c'])));
      const ours = claimKeys();
      expect(await ours).toEqual(['a']);
    });

    it('gives again what a claim that was rolled back had taken', async () => {
      await deliver('a');
      const held = await holdClaim(claimRequest({ worker: 'them' }));
      await held.rollback();
      expect(await claim()).toMatchObject([{ event: { key: 'a' }, attempt: 1 }]);
    });

    it('leaves out what was due before the instant where it begins to read a queue', async () => {
      for (const due of [NOW - 10, NOW - 5, NOW]) await deliver(`due ${due}`, { due });
      expect(await claimKeys({ queues: [queue('mail', { from: NOW - 5 })] })).toEqual([`due ${NOW - 5}`, `due ${NOW}`]);
      expect(await claimKeys()).toEqual([`due ${NOW - 10}`]);
    });

    it('takes from each partition what it is asked for', async () => {
      await enterPartitions(['a', 'b', 'a', '', 'ä"\\', 'a']);
      const queues = ['', 'ä"\\', 'a'].map((partition) => queue('mail', { partition, most: 2 }));
      const rows = await claim({ queues });
      expect(rows.map(({ event, partition_key: partition }) => [event.key, partition])).toEqual([
        ['key 3', ''],
        ['key 4', 'ä"\\'],
        ['key 0', 'a'],
        ['key 2', 'a'],
      ]);
      expect(await claimKeys({ queues: [queue('mail', { partition: 'a' })] })).toEqual(['key 5']);
    });

    it('gives each delivery once, to however many claim', async () => {
      const all = Array.from({ length: 60 }, (_, i) => `key ${String(i).padStart(2, '0')}`);
      await enterKeys(all);
      const claimAll = async (worker: string, given: string[] = []): Promise<string[]> => {
        const some = await claimKeys({ worker, limit: 4 });
        return some.length === 0 ? given : claimAll(worker, [...given, ...some]);
      };
      const given = await Promise.all(['1', '2', '3', '4'].map((worker) => claimAll(worker)));

      expect(given.flat().sort()).toEqual(all);
      for (const { attempt } of await deliveries()) expect(attempt).toBe(1);
    });
  });

  const DUE = NOW + 60_000;
  const dispatched = async (more: Partial<ClaimRequest> = {}) => {
    const request = await narrowed({ worker: 'sender', ...more });
    return on.own.runShort((manager) => on.dialect.dispatch(manager, request, DUE));
  };
  const keysOf = async (ids: readonly { readonly id: string }[]) => {
    const keys = new Map((await deliveries()).map((row) => [String(row.id), row.event_key]));
    return ids.map(({ id }) => keys.get(String(id)));
  };

  describe('dispatch', () => {
    it('leaves the delivery available: it is on its way, due again later, and its attempt is not counted', async () => {
      await deliver('a', { priority: 7 });
      await change('a', 'attempt = 4');
      const { id } = await deliveryOf('a');
      const queues = [queue('mail', { priority: 7 })];
      const { rows, isMore } = await dispatched({ queues });
      expect(rows.map((row) => ({ ...row, id: String(row.id), priority: Number(row.priority) }))).toMatchObject([
        { id, handler: 'mail', partition_key: '', priority: 7 },
      ]);
      expect(isMore).toBe(false);
      const row = await deliveryOf('a');
      expect(row).toMatchObject({
        state: 'available',
        attempt: 4,
        claimed_by: 'sender',
        due_at: DUE,
        started_at: null,
      });
      expect((await dispatched({ queues })).rows).toEqual([]);
      expect(await claim({ queues })).toEqual([]);
      expect(await claim({ queues, now: DUE })).toMatchObject([{ event: { key: 'a' }, attempt: 5 }]);
    });

    it('takes from the queues as a claim does: in their order, as far as there is room, and no more than the limit', async () => {
      for (const key of ['a', 'b', 'c']) await deliver(key);
      await deliver('urgent', { priority: -1 });
      await deliver('badge', { to: 'badge' });
      const queues = [
        queue('mail', { of: 0, room: 3, priority: -1 }),
        queue('mail', { of: 0, room: 3 }),
        queue('badge'),
      ];
      const { rows } = await dispatched({ queues });
      expect((await keysOf(rows)).toSorted()).toEqual(['a', 'b', 'badge', 'urgent']);
      expect(await keysOf(rows.slice(0, 1))).toEqual(['urgent']);
      expect((await dispatched({ queues, limit: 1 })).isMore).toBe(true);
      expect((await dispatched({ queues, limit: 1 })).rows).toEqual([]);
    });

    it('gives nothing of a paused handler, no suspects, and nothing that is passed', async () => {
      await deliver('paused', { to: 'badge' });
      for (const key of ['suspect', 'passed', 'a']) await deliver(key);
      await change('suspect', 'suspect = 1');
      await execute(on.other.manager, `INSERT INTO ${on.tables.pause} (handler, paused_at) VALUES ('badge', 1)`);
      const passed = [(await deliveryOf('passed')).id];
      expect(await keysOf((await dispatched({ passed })).rows)).toEqual(['a']);
    });

    it('gives each delivery once, to however many dispatch and claim', async () => {
      const all = Array.from({ length: 60 }, (_, i) => `key ${String(i).padStart(2, '0')}`);
      await enterKeys(all);
      const both = async (worker: string, given: (string | undefined)[] = []): Promise<(string | undefined)[]> => {
        const some = [
          ...(await claimKeys({ worker, limit: 3 })),
          ...(await keysOf((await dispatched({ worker, limit: 3 })).rows)),
        ];
        return some.length === 0 ? given : both(worker, [...given, ...some]);
      };
      const given = await Promise.all(['1', '2', '3'].map((worker) => both(worker)));
      expect(given.flat().sort()).toEqual(all);
    });
  });

  describe('takeOver', () => {
    const takenOver = (ids: readonly string[], worker = 'us') =>
      on.own.runShort((manager) => on.dialect.takeOver(manager, { worker, now: NOW + 9, ttl: DUE - NOW, ids }));
    const allIds = async () => (await deliveries()).map(({ id }) => String(id));
    const onTheirWay = async (...keys: string[]) => {
      for (const key of keys) await deliver(key);
      await dispatched();
      return allIds();
    };

    it('claims what is on its way, with its event, and counts the attempt', async () => {
      await enter(enterRequest(['unhandled'], { opened: [] }));
      const ids = await onTheirWay('a', 'b');
      await change('b', 'attempt = 4');
      const rows = (await takenOver(ids)).toSorted((one, other) => (one.event.key < other.event.key ? -1 : 1));
      expect(rows).toMatchObject([
        { event: { key: 'a', group: 'group' }, handler: 'mail', partition_key: '', attempt: 1 },
        { event: { key: 'b', group: 'group' }, handler: 'mail', partition_key: '', attempt: 5 },
      ]);
      expect(rows.map(({ id }) => String(id))).toEqual(ids);
      expect(String(rows[0]!.event_id)).toBe((await deliveryOf('a')).event_id);
      expect(Number(rows[0]!.due_at)).toBe(NOW);
      expect(await deliveryOf('a')).toMatchObject({ due_at: NOW });
      const row = { state: 'running', attempt: 1, claimed_by: 'us', started_at: NOW + 9, finished_at: null };
      expect(await deliveryOf('a')).toMatchObject(row);
      expect(await takenOver(ids, 'them')).toEqual([]);
    });

    it('does not leave it due later, however long others let it be on its way', async () => {
      const ids = await onTheirWay('a');
      const request = { worker: 'us', now: NOW + 9, ttl: 10, ids };
      const [row] = await on.own.runShort((manager) => on.dialect.takeOver(manager, request));
      expect(Number(row!.due_at)).toBe(NOW + 9);
      expect(await deliveryOf('a')).toMatchObject({ due_at: NOW + 9 });
    });

    it('leaves what is not on its way: what is available, and what is in another state', async () => {
      const ids = await onTheirWay('a', 'b', 'c', 'd', 'available');
      await change('available', 'claimed_by = NULL');
      for (const [key, state] of [
        ['a', 'completed'],
        ['b', 'discarded'],
        ['c', 'running'],
        ['d', 'held'],
      ])
        await change(key!, `state = '${state}'`);
      const before = await deliveries();
      expect(await takenOver(ids)).toEqual([]);
      expect(await deliveries()).toEqual(before);
    });

    it('leaves what is of a paused handler', async () => {
      const ids = await onTheirWay('a');
      await execute(on.other.manager, `INSERT INTO ${on.tables.pause} (handler, paused_at) VALUES ('mail', 1)`);
      expect(await takenOver(ids)).toEqual([]);
      await execute(on.other.manager, `DELETE FROM ${on.tables.pause}`);
      expect(await takenOver(ids)).toMatchObject([{ event: { key: 'a' } }]);
    });

    it('waits for nobody who claims one of them', async ({ skip }) => {
      skip(!on.dialect.skipsLocked, 'nobody else writes meanwhile');
      const ids = await onTheirWay('a', 'b', 'c');
      await on.hold(
        (manager) => on.dialect.takeOver(manager, { worker: 'them', now: NOW, ttl: 1, ids: [ids[1]!] }),
        on.dialect.isolation,
      );
      expect((await takenOver(ids)).map(({ event }) => event.key).toSorted()).toEqual(['a', 'c']);
    });

    it('gives each delivery once, to however many take it over', async () => {
      const all = Array.from({ length: 40 }, (_, i) => `key ${String(i).padStart(2, '0')}`);
      await enterKeys(all);
      await dispatched();
      const ids = await allIds();
      const given = await Promise.all(['1', '2', '3', '4'].map((worker) => takenOver(ids, worker)));
      expect(
        given
          .flat()
          .map(({ event }) => event.key)
          .sort(),
      ).toEqual(all);
    });

    it('finds them by their keys, however many deliveries there are', async ({ skip }) => {
      skip(!on.dialect.skipsLocked, 'it does not count the rows that it reads');
      await pile(4_000);
      await deliver('a');
      await change('a', `claimed_by = 'sender'`);
      if (!on.dialect.worksByStatement) await on.db.query('ANALYZE TABLE spark_delivery');
      const { id } = await deliveryOf('a');
      const request = { worker: 'us', now: NOW, ttl: 1, ids: [id] };
      expect(await rowsRead((manager) => on.dialect.takeOver(manager, request))).toBeLessThan(20);
    });
  });

  describe('a backlog', () => {
    it('of one handler costs the claims of others nothing', async ({ skip }) => {
      skip(!on.dialect.skipsLocked, 'it does not count the rows that it reads');
      const request = claimRequest({ queues: [queue('badge')] });
      const ofOthers = (manager: EntityManager) => on.dialect.claim(manager, request);
      await deliver('a', { to: 'badge' });
      const without = await rowsRead(ofOthers);
      await pile(4_000);
      await deliver('b', { to: 'badge' });
      expect(await rowsRead(ofOthers)).toBeLessThanOrEqual(without + 5);
      expect(await rowsRead((manager) => on.dialect.waiting(manager, request))).toBeLessThan(20);
    });

    it('costs little where queues are looked for, and where only retries wait', async ({ skip }) => {
      skip(!on.dialect.skipsLocked, 'it does not count the rows that it reads');
      await pile(4_000);
      if (!on.dialect.worksByStatement) await on.db.query('ANALYZE TABLE spark_delivery');
      expect(await rowsRead((manager) => on.dialect.queuesOf(manager, ['mail', 'badge']))).toBeLessThan(40);
      const waiting = claimRequest({ queues: [queue('mail', { priority: 1 })] });
      expect(await rowsRead((manager) => on.dialect.claim(manager, waiting))).toBeLessThan(20);
    });

    it('that was claimed costs nothing, even while an old transaction may still read it', async ({ skip }) => {
      skip(!on.dialect.worksByStatement, 'the database does not count the pages that it reads');
      const old = await on.hold(async (manager) => {
        await execute(manager, 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
        await select(manager, `SELECT 1 FROM ${on.tables.delivery}`);
      });
      await pile(4_000);
      await claim({ queues: [queue('mail', { room: 4_000 })], limit: 4_000 });
      await deliver('same', { due: NOW - 1 });
      const [{ id }] = (await select<{ id: string }>(
        on.db.manager,
        `SELECT MAX(id) AS id FROM ${on.tables.delivery}`,
      )) as [{ id: string }];
      await deliver('new', { due: NOW + 1 });
      const pages = async (manager: EntityManager) => {
        const sql = `SELECT SUM(pg_stat_get_xact_blocks_fetched(CAST(name AS regclass))) AS n
          FROM unnest(ARRAY['spark_delivery', 'spark_delivery_partition']) AS t(name)`;
        return Number((await select<{ n: string }>(manager, sql))[0]!.n);
      };
      const pagesRead = (from: number, fromId = 0) =>
        on.db.transaction('READ COMMITTED', async (manager) => {
          const before = await pages(manager);
          await on.dialect.claim(
            manager,
            claimRequest({ now: NOW + 1, queues: [queue('mail', { from, fromId, room: 1 })] }),
          );
          return (await pages(manager)) - before;
        });
      const [fromSame, fromNew, all] = [await pagesRead(NOW - 1, Number(id)), await pagesRead(NOW), await pagesRead(0)];
      await old.commit();
      expect(all).toBeGreaterThan(100);
      for (const some of [fromSame, fromNew]) expect(some).toBeLessThan(all / 5);
    });

    it('is read from one delivery on, where all are due at the same time', async ({ skip }) => {
      skip(
        on.dialect.worksByStatement || !on.dialect.skipsLocked,
        'the pages that are read say it, or one writer reads',
      );
      await pile(4_000);
      on.log.statements.length = 0;
      await claim({ queues: [queue('mail', { from: NOW - 1, fromId: 3_000 })], limit: 1 });
      const sql = on.log.statements.find((one) => one.includes('SKIP LOCKED'))!;
      const given = ['mail', 0, 0, '', NOW - 1, 3_000, NOW - 1, NOW, 'mail', 1];
      const [plan] = await on.db.query(`EXPLAIN ${sql}`, given);
      expect(plan).toMatchObject({ key: 'spark_delivery_partition', type: 'range' });
    });

    it('is found by the index of queues', async ({ skip }) => {
      skip(on.dialect.skipsLocked, 'the number of rows says it');
      on.log.statements.length = 0;
      await on.dialect.queuesOf(on.db.manager, ['mail']);
      await on.dialect.waiting(on.db.manager, claimRequest());
      const asked = on.log.statements.filter((sql) => sql.includes('spark_delivery'));
      const plans = await Promise.all(
        asked.map(async (sql) => {
          const given = Array.from(sql.matchAll(/\?/g), () => 0);
          return JSON.stringify(await on.db.query(`EXPLAIN QUERY PLAN ${sql}`, given));
        }),
      );
      expect(plans.length).toBeGreaterThanOrEqual(2);
      const index = /INDEX spark_delivery_partition \(handler=\? AND suspect=\? AND \(?priority/;
      for (const plan of plans) expect(plan).toMatch(index);
    });
  });

  describe('queuesOf', () => {
    const queuesOf = async (...handlers: string[]) =>
      (await on.dialect.queuesOf(on.db.manager, handlers))
        .map(({ handler: name, priority, suspect }) => `${name} ${priority}${suspect ? ' suspect' : ''}`)
        .sort();

    it('are those with available deliveries, due or not, each once', async () => {
      for (const key of ['a', 'b']) await deliver(key);
      await deliver('later', { priority: 3, due: NOW + 1_000 });
      await deliver('badge', { to: 'badge', priority: -2 });
      await deliver('other', { to: 'Mail' });
      expect(await queuesOf('mail', 'badge', 'nobody')).toEqual(['badge -2', 'mail 0', 'mail 3']);
    });

    it('tell suspects from others', async () => {
      for (const [key, priority] of [
        ['a', 0],
        ['b', 0],
        ['c', 7],
        ['d', -7],
      ] as const)
        await deliver(key, { priority });
      await change('b', 'suspect = 1');
      await change('d', 'suspect = 1');
      expect(await queuesOf('mail')).toEqual(['mail -7 suspect', 'mail 0', 'mail 0 suspect', 'mail 7']);
    });

    it('tell partitions from one another', async () => {
      await enterPartitions(['b', 'a', 'a', '', 'B']);
      const found = await on.dialect.queuesOf(on.db.manager, ['mail', 'badge']);
      expect(found.map(({ handler: name, partition }) => `${name} ${partition}`).sort()).toEqual([
        'badge ',
        'mail ',
        'mail B',
        'mail a',
        'mail b',
      ]);
    });

    it('say when the first of their deliveries is due', async () => {
      for (const due of [NOW + 20, NOW - 20, NOW]) for (const i of [1, 2]) await deliver(`due ${due} ${i}`, { due });
      await deliver('later', { priority: 3, due: NOW + 1_000 });
      const found = await on.dialect.queuesOf(on.db.manager, ['mail']);
      const ids = await select<{ id: number }>(
        on.db.manager,
        `SELECT id FROM ${on.tables.delivery} ORDER BY due_at, id`,
      );
      expect(found.map(({ priority, since, sinceId }) => [priority, since, sinceId])).toEqual([
        [0, NOW - 20, Number(ids[0]!.id)],
        [3, NOW + 1_000, Number(ids.at(-1)!.id)],
      ]);
    });

    it('are none where all deliveries have ended, run, or are held', async () => {
      for (const state of ['held', 'discarded', 'completed', 'running']) {
        await deliver(state);
        await change(state, `state = '${state}'`);
      }
      expect(await queuesOf('mail')).toEqual([]);
    });
  });

  describe('handlersAwaited', () => {
    const awaited = () => on.dialect.handlersAwaited(on.db.manager);

    it('are those of available deliveries, due or not, each once', async () => {
      expect(await awaited()).toEqual([]);
      for (const key of ['a', 'b']) await deliver(key);
      await deliver('later', { to: 'badge', priority: 3, due: NOW + 1_000 });
      await deliver('other', { to: 'Mail' });
      await deliver('running', { to: 'call' });
      await change('running', `state = 'running'`);
      expect((await awaited()).sort()).toEqual(['Mail', 'badge', 'mail']);
    });

    it('are found without reading their deliveries', async ({ skip }) => {
      skip(!on.dialect.skipsLocked, 'it does not count the rows that it reads');
      await pile(4_000);
      await deliver('one', { to: 'badge' });
      expect(await rowsRead((manager) => on.dialect.handlersAwaited(manager))).toBeLessThan(40);
    });
  });

  it('heldOrder: a statement with a LIMIT reads no more held deliveries, however many there are', async ({ skip }) => {
    skip(!on.dialect.skipsLocked, 'it does not count the rows that it reads');
    await pile(4_000);
    await execute(on.db.manager, `UPDATE ${on.tables.delivery} SET state = 'held' WHERE priority = 1`);
    await on.db.query(on.dialect.worksByStatement ? 'ANALYZE spark_delivery' : 'ANALYZE TABLE spark_delivery');
    const some = `SELECT id FROM ${on.tables.delivery} WHERE state = 'held' ORDER BY ${on.dialect.heldOrder} LIMIT 50`;
    expect(await rowsRead((manager) => execute(manager, some))).toBeLessThan(100);
  });

  describe('discardedSince', () => {
    const discarded = async (more: Partial<DiscardedRequest> = {}) => {
      const request = { since: NOW, except: ['on purpose'], most: 100, ...more };
      return Object.fromEntries(await on.dialect.discardedSince(on.db.manager, request));
    };
    const discard = async (key: string, { at = NOW, error = 'no', to = 'mail', priority = 0 } = {}) => {
      await deliver(key, { to, priority });
      await change(key, `state = 'discarded', finished_at = ${at}, last_error = '${error}'`);
    };

    it('counts those that were discarded from an instant on, by handler, without those of some reasons', async () => {
      expect(await discarded()).toEqual({});
      await discard('early', { at: NOW - 1 });
      await discard('a');
      await discard('b', { at: NOW + 5, priority: 2 });
      await discard('badge', { to: 'badge' });
      await discard('other', { to: 'badge', error: 'on purpose' });
      await deliver('waits');
      await deliver('completed');
      await change('completed', `state = 'completed', finished_at = ${NOW}`);
      expect(await discarded()).toEqual({ mail: 2, badge: 1 });
      await change('a', 'last_error = NULL');
      expect(await discarded({ since: NOW + 1 })).toEqual({ mail: 1 });
    });

    it('finds the latest one among those of long ago, though it was opened before them', async () => {
      await deliver('old');
      await pile(300);
      await execute(
        on.db.manager,
        `UPDATE ${on.tables.delivery} SET state = 'discarded', finished_at = ${NOW - 9}
        WHERE event_id <> (SELECT id FROM ${on.tables.event} WHERE event_key = 'old')`,
      );
      const { id } = await deliveryOf('old');
      await execute(
        on.db.manager,
        `INSERT INTO ${on.tables.attempt} (delivery_id, attempt, host, pid, started_at, duration_ms, error, fingerprint)
         VALUES (:id, 1, 'host', 1, ${NOW}, 1, 'no', 'print')`,
        { id },
      );
      await change('old', `state = 'discarded', finished_at = ${NOW}, due_at = ${NOW + 2_000}`);
      expect(await discarded({ most: 10 })).toEqual({ mail: 1 });
    });

    it('reads few of them, however many there are', async ({ skip }) => {
      skip(!on.dialect.skipsLocked, 'it does not count the rows that it reads');
      await pile(4_000);
      await execute(
        on.db.manager,
        `UPDATE ${on.tables.delivery} SET state = 'discarded', finished_at = ${NOW}, last_error = 'no'`,
      );
      await on.db.query(on.dialect.worksByStatement ? 'ANALYZE spark_delivery' : 'ANALYZE TABLE spark_delivery');
      const read = await rowsRead((manager) =>
        on.dialect.discardedSince(manager, { since: NOW, except: ['on purpose'], most: 100 }),
      );
      expect(read).toBeLessThan(1_000);
      expect((await discarded()).mail).toBeGreaterThanOrEqual(100);
    });
  });

  describe('waiting', () => {
    it('leaves out no queue that has something to claim', async () => {
      await deliver('a');
      const queues = [queue('badge'), queue('mail')];
      const waiting = await on.dialect.waiting(on.db.manager, claimRequest({ queues }));
      expect(waiting.map(({ handler: name }) => name)).toContain('mail');
      if (!on.dialect.worksByStatement) expect(waiting).toHaveLength(1);
    });
  });

  describe('complete', () => {
    const complete = (ids: readonly string[], more: Partial<Completion> = {}) => {
      const done = ids.map((id, i) => ({ id, durationMs: 10 + i }));
      const completion = { worker: 'us', attempt: 1, done, now: NOW + 50, history: true, ...more };
      return on.own.runShort((manager) => on.dialect.complete(manager, completion));
    };
    let ids: readonly string[];

    beforeEach(async () => {
      for (const key of ['a', 'b', 'c']) await deliver(key);
      await change('a', `last_error = 'earlier'`);
      ids = (await claim()).map(({ id }) => id);
    });

    it('completes what the worker has handled, each with how long it took', async () => {
      expect(await complete(ids.slice(0, 2))).toEqual(new Set(ids.slice(0, 2)));
      const completed = { state: 'completed', finished_at: NOW + 50, last_error: null, attempt: 1 };
      expect(await deliveries()).toMatchObject([
        { event_key: 'a', duration_ms: 10, ...completed },
        { event_key: 'b', duration_ms: 11, ...completed },
        { event_key: 'c', state: 'running', finished_at: null, duration_ms: null },
      ]);
    });

    it('removes it where no history is kept', async () => {
      expect(await complete(ids.slice(0, 2), { history: false })).toEqual(new Set(ids.slice(0, 2)));
      expect(await deliveries()).toMatchObject([{ event_key: 'c', state: 'running' }]);
      expect((await on.dialect.ownersOf(on.db.manager, ['a', 'b', 'c'])).size).toBe(3);
    });

    describe.each([true, false])('history: %s', (history) => {
      it('waits for no other worker that claims or completes', async ({ skip }) => {
        skip(!on.dialect.skipsLocked, 'nobody else writes meanwhile');
        const done = [{ id: ids[1]!, durationMs: 1 }];
        await deliver('d');
        const request = await narrowed({ worker: 'them' });
        await on.hold(async (manager) => {
          await on.dialect.complete(manager, { worker: 'us', attempt: 1, done, now: NOW, history });
          await on.dialect.claim(manager, request);
        }, on.dialect.isolation);
        const ours = complete([ids[0]!, ids[2]!], { history });
        expect(await ours).toEqual(new Set([ids[0], ids[2]]));
      });

      it('waits for no transactional handler, whose delivery is completed in a transaction of an application', async ({
        skip,
      }) => {
        skip(!on.dialect.skipsLocked, 'nobody else writes meanwhile');
        const done = [{ id: ids[1]!, durationMs: 1 }];
        await deliver('d');
        await on.hold((manager) => on.dialect.complete(manager, { worker: 'us', attempt: 1, done, now: NOW, history }));
        if (!on.dialect.worksByStatement) await on.db.query('ANALYZE TABLE spark_delivery');
        // With more ids than running deliveries, an index of the states would look better.
        const others = ['1000001', '1000002', '1000003'];
        const ours = complete([ids[0]!, ids[2]!, ...others], { history }).then(() => claimKeys());
        expect(await ours).toEqual(['d']);
      });

      it('leaves what is another worker’s by now', async () => {
        await change('b', `claimed_by = 'them'`);
        expect(await complete(ids, { history })).toEqual(new Set([ids[0], ids[2]]));
        expect(await deliveryOf('b')).toMatchObject({ state: 'running', claimed_by: 'them', finished_at: null });
      });

      it('leaves what is at another attempt by now', async () => {
        await change('b', 'attempt = 2');
        expect(await complete(ids, { history })).toEqual(new Set([ids[0], ids[2]]));
        expect(await deliveryOf('b')).toMatchObject({ state: 'running', attempt: 2, finished_at: null });
      });

      it('leaves what does not run any more', async () => {
        for (const state of ['available', 'held', 'discarded']) {
          await change('b', `state = '${state}'`);
          expect(await complete([ids[1]!], { history })).toEqual(new Set());
          expect(await deliveryOf('b')).toMatchObject({ state, finished_at: null });
        }
      });

      it('completes 1,000 at once', async () => {
        await enterKeys(Array.from({ length: 1_000 }, (_, i) => `key ${i}`).sort());
        const many = (await claim({ limit: 1_000 })).map(({ id }) => id);
        expect(await complete(many, { history })).toEqual(new Set(many));
      });
    });

    it('says so again of what a completion before has completed, whose answer was lost', async () => {
      await complete(ids.slice(0, 2));
      expect(await complete(ids, { now: NOW + 99 })).toEqual(new Set(ids));
      expect(await complete(ids, { now: NOW + 99 })).toEqual(new Set(ids));
      expect((await deliveries()).map((row) => row.finished_at)).toEqual([NOW + 50, NOW + 50, NOW + 99]);
    });

    it('… and not of what another worker has completed', async () => {
      await change('b', `claimed_by = 'them', state = 'completed'`);
      expect(await complete([ids[1]!])).toEqual(new Set());
    });
  });

  it('worksByStatement: claiming and completing take one statement each', async () => {
    await enterKeys(['a', 'b']);
    on.log.statements.length = 0;
    const { rows } = await on.dialect.claim(on.db.manager, claimRequest());
    const done = rows.map(({ id }) => ({ id, durationMs: 1 }));
    await on.dialect.complete(on.db.manager, { worker: 'us', attempt: 1, done, now: NOW, history: true });

    expect(on.log.statements.length === 2).toBe(on.dialect.worksByStatement);
    expect((await deliveries()).map(({ state }) => state)).toEqual(['completed', 'completed']);
  });
});
