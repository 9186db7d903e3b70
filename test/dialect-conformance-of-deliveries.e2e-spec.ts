import { beforeEach, describe, expect, it } from 'vitest';
import type { ClaimRequest, Completion, EnterRequest } from '../libs/spark/src/database/dialect.js';
import { execute } from '../libs/spark/src/database/statement.js';
import { databases } from './support/databases.js';
import { isWaiting, processesOn } from './support/dialect.js';
import { deliveriesOn, enterRequest, entry, handler, NOW } from './support/dialect-rows.js';

describe.each(databases)('the dialect, of deliveries, on $name', ({ create }) => {
  const on = processesOn(create);

  const enter = (request: EnterRequest) => on.db.transaction((manager) => on.dialect.enter(manager, request));
  const enterKeys = (keys: readonly string[]) => enter(enterRequest(keys));
  const deliveries = () => deliveriesOn(on);
  const deliveryOf = async (key: string) => (await deliveries()).find((row) => row.event_key === key)!;
  const claimRequest = (more: Partial<ClaimRequest> = {}): ClaimRequest => ({
    worker: 'us',
    handlers: ['mail', 'badge'],
    limit: 100,
    now: NOW,
    suspect: false,
    passed: [],
    ...more,
  });
  const claim = (more: Partial<ClaimRequest> = {}) =>
    on.own.runShort((manager) => on.dialect.claim(manager, claimRequest(more)));
  const holdClaim = (request: ClaimRequest) =>
    on.hold((manager) => on.dialect.claim(manager, request), on.dialect.isolation);
  const claimKeys = async (more: Partial<ClaimRequest> = {}) => (await claim(more)).map((row) => row.event_key);
  /** Opens a delivery of an event with this key. */
  const deliver = (key: string, { to = 'mail', priority = 0, due = NOW } = {}) =>
    enter(enterRequest([key], { opened: [handler(to, { priority })], now: due }));
  const change = async (key: string, set: string) => {
    const { id } = await deliveryOf(key);
    await execute(on.db.manager, `UPDATE ${on.tables.delivery} SET ${set} WHERE id = :id`, { id });
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
      expect(first).toMatchObject({ id, handler: 'mail', attempt: 1, event_key: 'full', event_group: 'group' });
      expect(first).toMatchObject({
        entity_id: '7',
        source: 'Source.method',
        context: '{"a":"ä"}',
        depth: 3,
        metadata: '{"b":1}',
      });
      expect([Number(first!.at), Number(first!.until_at)]).toEqual([NOW - 5, NOW + 5]);
      expect(second).toMatchObject({
        event_key: 'void',
        entity_id: null,
        source: null,
        context: null,
        depth: 0,
        metadata: null,
      });
      expect([second!.at, second!.until_at]).toEqual([null, null]);
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

    it('gives the most urgent first, of these the longest due, of these the oldest', async () => {
      await deliver('z', { priority: 0, due: NOW - 1 });
      await deliver('y', { priority: 0, due: NOW - 1 });
      await deliver('late', { priority: 0, due: NOW });
      await deliver('low', { priority: 9, due: NOW - 100 });
      await deliver('high', { priority: -3, due: NOW });
      expect(await claimKeys()).toEqual(['high', 'z', 'y', 'late', 'low']);
    });

    it('gives no more than the limit, and those that come first', async () => {
      for (const priority of [5, 1, 4, 2, 3])
        await deliver(`priority ${priority}`, { priority, due: NOW - 10 * priority });
      expect(await claimKeys({ limit: 2 })).toEqual(['priority 1', 'priority 2']);
      expect(await claimKeys({ limit: 2 })).toEqual(['priority 3', 'priority 4']);
      expect(await claimKeys({ limit: 2 })).toEqual(['priority 5']);
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
      expect(await claimKeys({ handlers: ['mail'] })).toEqual(['a']);
      expect(await claimKeys({ handlers: ['badge', 'nobody'] })).toEqual(['c']);
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
      expect(await isWaiting(ours)).toBe(!on.dialect.skipsLocked);
      await held.commit();

      expect(held.result.map((row) => row.event_key)).toEqual(['a', 'b']);
      expect(await ours).toEqual(['c', 'd']);
    });

    it('waits for no event that is being entered', async ({ skip }) => {
      skip(!on.dialect.skipsLocked, 'nobody else writes meanwhile');
      await deliver('a');
      await on.hold((manager) => on.dialect.enter(manager, enterRequest(['b', 'c'])));
      const ours = claimKeys();
      expect(await isWaiting(ours)).toBe(false);
      expect(await ours).toEqual(['a']);
    });

    it('gives again what a claim that was rolled back had taken', async () => {
      await deliver('a');
      const held = await holdClaim(claimRequest({ worker: 'them' }));
      await held.rollback();
      expect(await claim()).toMatchObject([{ event_key: 'a', attempt: 1 }]);
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
        await on.hold(async (manager) => {
          await on.dialect.complete(manager, { worker: 'us', attempt: 1, done, now: NOW, history });
          await on.dialect.claim(manager, claimRequest({ worker: 'them' }));
        }, on.dialect.isolation);
        const ours = complete([ids[0]!, ids[2]!], { history });
        expect(await isWaiting(ours)).toBe(false);
        expect(await ours).toEqual(new Set([ids[0], ids[2]]));
      });

      it('waits for no transactional handler, whose delivery is completed in a transaction of an application', async ({
        skip,
      }) => {
        skip(!on.dialect.skipsLocked, 'nobody else writes meanwhile');
        const done = [{ id: ids[1]!, durationMs: 1 }];
        await deliver('d');
        await on.hold((manager) => on.dialect.complete(manager, { worker: 'us', attempt: 1, done, now: NOW, history }));
        const ours = complete([ids[0]!, ids[2]!], { history }).then(() => claimKeys());
        expect(await isWaiting(ours)).toBe(false);
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
    const rows = await on.dialect.claim(on.db.manager, claimRequest());
    const done = rows.map(({ id }) => ({ id, durationMs: 1 }));
    await on.dialect.complete(on.db.manager, { worker: 'us', attempt: 1, done, now: NOW, history: true });

    expect(on.log.statements.length === 2).toBe(on.dialect.worksByStatement);
    expect((await deliveries()).map(({ state }) => state)).toEqual(['completed', 'completed']);
  });
});
