import type { EntityManager } from 'typeorm';
import { beforeEach, describe, expect, it } from 'vitest';
import type { EnterRequest, Entered, KeyRange } from '../libs/spark/src/database/dialect.js';
import { execute, select } from '../libs/spark/src/database/statement.js';
import { databases } from './support/databases.js';
import { isWaiting, processesOn } from './support/dialect.js';
import { deliveriesOn, enterRequest, entry, handler, NOW, TEXTS } from './support/dialect-rows.js';

describe.each(databases)('the dialect, of events, on $name', ({ create }) => {
  const on = processesOn(create);

  const enter = (asked: EnterRequest): Promise<Entered> =>
    on.db.transaction((manager) => on.dialect.enter(manager, asked));
  const enterKeys = (keys: readonly string[], more: Partial<EnterRequest> = {}) => enter(enterRequest(keys, more));
  const ownersOf = (keys: readonly string[]) => on.dialect.ownersOf(on.db.manager, keys);
  const events = () => select<Record<string, unknown>>(on.db.manager, `SELECT * FROM ${on.tables.event} ORDER BY id`);
  const keys = async () => (await events()).map((row) => row.event_key as string);
  const deliveries = () => deliveriesOn(on);

  describe.each([true, false])('enter, likelyNew: %s', (likelyNew) => {
    it('enters what is new, as it is given', async () => {
      const full = entry('full', {
        entityId: '7',
        context: '{"text":"ä \\"quoted\\" \\\\ 💡"}',
        at: NOW - 5,
        until: NOW + 5,
        depth: 3,
        cause: '42',
        metadata: '{"note":"ä 💡"}',
      });
      const emitted = entry('emitted', { group: 'other', entity: null, entityId: null, source: null });
      const { fresh, others } = await enter({ entries: [emitted, full], opened: [], now: NOW, likelyNew });

      expect(fresh).toEqual(new Set(['emitted', 'full']));
      expect(others.size).toBe(0);
      expect(await events()).toMatchObject([
        {
          event_key: 'emitted',
          event_group: 'other',
          entity: null,
          entity_id: null,
          source: null,
          context: null,
          metadata: null,
        },
        {
          event_key: 'full',
          event_group: 'group',
          entity: 'challenge',
          entity_id: '7',
          source: 'Source.method',
          context: full.context,
          metadata: full.metadata,
          at: NOW - 5,
          until_at: NOW + 5,
          depth: 3,
          caused_by: '42',
          recorded_at: NOW,
        },
      ]);
      expect(await deliveries()).toEqual([]);
    });

    it('opens a delivery for each handler of the event’s group', async () => {
      const opened = [
        handler('mail', { groups: ['group', 'other'], priority: 7 }),
        handler('badge', { groups: ['other'], priority: -1 }),
        handler('nobody', { groups: ['elsewhere'] }),
      ];
      await enter({ entries: [entry('a'), entry('b', { group: 'other' })], opened, now: NOW, likelyNew });

      const opening = { state: 'available', attempt: 0, suspect: 0, due_at: NOW, finished_at: null, last_error: null };
      const rows = await deliveries();
      expect(rows).toHaveLength(3);
      expect(rows).toEqual(
        expect.arrayContaining([
          expect.objectContaining({ ...opening, event_key: 'a', handler: 'mail', priority: 7 }),
          expect.objectContaining({ ...opening, event_key: 'b', handler: 'mail', priority: 7 }),
          expect.objectContaining({ ...opening, event_key: 'b', handler: 'badge', priority: -1 }),
        ]),
      );
    });

    it('opens it in the state that is asked for; a discarded one has ended', async () => {
      const opened = [handler('held', { initialState: 'held' }), handler('not', { initialState: 'discarded' })];
      await enterKeys(['a'], { opened, likelyNew });

      expect((await deliveries()).sort((a, b) => (a.handler < b.handler ? -1 : 1))).toMatchObject([
        { handler: 'held', state: 'held', due_at: NOW, finished_at: null, last_error: null },
        { handler: 'not', state: 'discarded', due_at: NOW, finished_at: NOW, last_error: 'baseline' },
      ]);
    });

    it('enters what is new of keys of which some are known, and opens nothing for those again', async () => {
      await enterKeys(['b', 'd']);
      const { fresh, others } = await enterKeys(['a', 'b', 'c', 'd', 'e'], { likelyNew });

      expect(fresh).toEqual(new Set(['a', 'c', 'e']));
      expect(others.size).toBe(0);
      expect((await keys()).sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
      expect((await deliveries()).map((row) => row.event_key).sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
    });

    it('does so, too, on a server whose INSERT does not give its rows', async () => {
      const server = { returnsFromInsert: () => false };
      const dialect = Object.assign(Object.create(on.dialect) as typeof on.dialect, server);
      await enterKeys(['b', 'd']);
      const asked = enterRequest(['a', 'b', 'c', 'd', 'e'], { likelyNew });
      const { fresh } = await on.db.transaction((manager) => dialect.enter(manager, asked));

      expect(fresh).toEqual(new Set(['a', 'c', 'e']));
      expect((await deliveries()).map((row) => row.event_key).sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
    });

    it('says whose a known key is, where that is another group or entity', async () => {
      const known = {
        emitted: { group: 'group', entity: null, entityId: null },
        theirs: { group: 'group', entity: 'challenge', entityId: '1' },
      };
      await enter(enterRequest([], { entries: Object.entries(known).map(([key, owner]) => entry(key, owner)) }));
      const asOther = async (key: keyof typeof known, more: object) => {
        const { fresh, others } = await enter(
          enterRequest([], { entries: [entry(key, { ...known[key], ...more })], likelyNew }),
        );
        expect(fresh.size).toBe(0);
        return others;
      };

      for (const more of [
        { group: 'Group' },
        { entity: 'Challenge' },
        { entityId: '2' },
        { entity: null, entityId: null },
      ])
        expect(await asOther('theirs', more)).toEqual(new Map([['theirs', known.theirs]]));
      for (const more of [{ group: 'other' }, { entity: 'challenge', entityId: '1' }])
        expect(await asOther('emitted', more)).toEqual(new Map([['emitted', known.emitted]]));
      expect(await asOther('theirs', { source: 'Another.source', at: 5, depth: 9 })).toEqual(new Map());
      expect(await asOther('emitted', {})).toEqual(new Map());
    });

    it('keeps texts apart that look alike, and finds each of them again', async () => {
      const entries = TEXTS.map((text) => entry(text, { entityId: text, context: text }));
      const first = await enter(enterRequest([], { entries, likelyNew }));
      const again = await enter(enterRequest([], { entries, likelyNew }));

      expect(first.fresh).toEqual(new Set(TEXTS));
      expect((await events()).map((row) => [row.event_key, row.entity_id, row.context]).sort()).toEqual(
        TEXTS.map((text) => [text, text, text]).sort(),
      );
      expect([again.fresh.size, again.others.size]).toEqual([0, 0]);
    });

    it('does so one at a time, too', async () => {
      for (const text of TEXTS) expect((await enterKeys([text], { likelyNew })).fresh).toEqual(new Set([text]));
      for (const text of TEXTS) expect((await enterKeys([text], { likelyNew })).fresh.size).toBe(0);
      expect((await keys()).sort()).toEqual(TEXTS);
    });

    it.each([1, 2, 40])(
      'partitions the deliveries of a handler by a field of the metadata, %i at once',
      async (count) => {
        const values = [undefined, 'acme', 7, true, null, { a: [1] }, 'o\'clock "\\ 💡', 'x'.repeat(200), '\0'];
        const partitions = ['', 'acme', '7', 'true', '', '{"a":[1]}', 'o\'clock "\\ 💡', 'x'.repeat(100), ' '];
        const entries = Array.from({ length: count }, (_, i) => {
          const tenant = values[i % values.length];
          return entry(`key ${String(i).padStart(2, '0')}`, { metadata: JSON.stringify({ tenant, other: '\0' }) });
        });
        await enter(
          enterRequest([], {
            entries,
            likelyNew,
            opened: [handler('mail', { partitionBy: 'tenant' }), handler('badge')],
          }),
        );
        const rows = await deliveriesOn(on);
        const partitionsOf = (name: string) =>
          rows
            .filter((row) => row.handler === name)
            .toSorted((a, b) => (a.event_key < b.event_key ? -1 : 1))
            .map(({ partition_key: partition }) => partition);
        expect(partitionsOf('mail')).toEqual(entries.map((_, i) => partitions[i % partitions.length]));
        expect(new Set(partitionsOf('badge'))).toEqual(new Set(['']));
      },
    );

    it('enters 1,000 at once, for many handlers', async () => {
      const entries = Array.from({ length: 1_000 }, (_, i) =>
        entry(`key_${String(i).padStart(4, '0')}`, {
          group: `group ${i % 3}`,
          entityId: String(i),
          context: 'x'.repeat(1_000),
        }),
      );
      const opened = Array.from({ length: 20 }, (_, i) => handler(`handler ${i}`, { groups: [`group ${i % 4}`] }));
      const { fresh } = await enter({ entries, opened, now: NOW, likelyNew });

      expect(fresh.size).toBe(1_000);
      expect(await keys()).toHaveLength(1_000);
      // Five of the handlers are for each group, and five for a group that no event is of.
      expect(await deliveries()).toHaveLength(5 * 1_000);
    });

    it('takes back what it did when the transaction is rolled back', async () => {
      const failing = on.db.transaction(async (manager) => {
        await on.dialect.enter(manager, enterRequest(['a'], { likelyNew }));
        throw new Error('on purpose');
      });

      await expect(failing).rejects.toThrow('on purpose');
      expect([await events(), await deliveries()]).toEqual([[], []]);
      expect((await enterKeys(['a'], { likelyNew })).fresh).toEqual(new Set(['a']));
    });

    // Those of an application have the isolation of its DataSource.
    describe.each(['an application', 'Spark'] as const)('in transactions of %s', (whose) => {
      const run = <T>(work: (manager: EntityManager) => Promise<T>): Promise<T> =>
        whose === 'Spark' ? on.own.run(work) : on.db.transaction(work);
      const theirs = (some: readonly string[]) =>
        on.hold((manager) => on.dialect.enter(manager, enterRequest(some, { likelyNew })));

      it('waits for a transaction that has entered the key, and knows the key when that commits', async () => {
        const held = await theirs(['b']);
        const ours = run((manager) => on.dialect.enter(manager, enterRequest(['a', 'b', 'c'], { likelyNew })));
        expect(await isWaiting(ours)).toBe(true);
        await held.commit();

        expect((await ours).fresh).toEqual(new Set(['a', 'c']));
        expect((await deliveries()).map((row) => row.event_key).sort()).toEqual(['a', 'b', 'c']);
      });

      it('… and enters it when that is rolled back', async () => {
        const held = await theirs(['b']);
        const ours = run((manager) => on.dialect.enter(manager, enterRequest(['a', 'b', 'c'], { likelyNew })));
        expect(await isWaiting(ours)).toBe(true);
        await held.rollback();

        expect((await ours).fresh).toEqual(new Set(['a', 'b', 'c']));
        expect((await deliveries()).map((row) => row.event_key).sort()).toEqual(['a', 'b', 'c']);
      });

      it.for([1, 2, 10, 50])(
        'does not wait for a transaction that has entered other keys, with %d of its own',
        async (count, { skip }) => {
          skip(!on.dialect.skipsLocked, 'nobody else writes meanwhile');
          // Keys that no test before has entered: MariaDB also locks what lies next to a key that was removed just now.
          const all = Array.from({ length: 2 * count + 1 }, (_, i) => `${whose} ${likelyNew} ${count} ${i}`).sort();
          await theirs(all.filter((_, i) => i % 2 === 0));
          const ours = all.filter((_, i) => i % 2 === 1);
          // It would not end, because their transaction stays open.
          const entered = await run((manager) => on.dialect.enter(manager, enterRequest(ours, { likelyNew })));
          expect(entered.fresh.size).toBe(count);
        },
      );

      it('lets each key through once, however many enter it at the same time', async () => {
        const some = Array.from({ length: 50 }, (_, i) => `key ${i}`).sort();
        const entered = await Promise.all(
          Array.from({ length: 8 }, () =>
            run((manager) => on.dialect.enter(manager, enterRequest(some, { likelyNew }))),
          ),
        );

        expect(entered.flatMap(({ fresh }) => [...fresh]).sort()).toEqual(some);
        expect((await deliveries()).map((row) => row.event_key).sort()).toEqual(some);
      });

      it('knows what has been committed since the transaction read for the first time', async ({ skip }) => {
        skip(!on.dialect.skipsLocked, 'nobody else writes meanwhile');
        const entered = run(async (manager) => {
          await select(manager, `SELECT id FROM ${on.tables.event}`);
          await (await theirs(['b'])).commit();
          return on.dialect.enter(manager, enterRequest(['a', 'b'], { likelyNew }));
        });

        expect((await entered).fresh).toEqual(new Set(['a']));
        expect((await deliveries()).map((row) => row.event_key).sort()).toEqual(['a', 'b']);
      });
    });
  });

  describe('enter', () => {
    it('writes nothing where all keys are known, and uses up no id', async () => {
      await enterKeys(['a', 'b']);
      on.log.statements.length = 0;
      for (let i = 0; i < 20; i++) await enterKeys(['a', 'b'], { likelyNew: false });
      const written = on.log.statements.filter((statement) => /^\s*(INSERT|UPDATE|DELETE)/i.test(statement));
      await enterKeys(['c'], { likelyNew: false });

      const ids = (await events()).map((row) => Number(row.id));
      expect(written).toEqual([]);
      expect(ids[2]! - ids[1]!).toBe(ids[1]! - ids[0]!);
    });

    it('gives the revision of the handler registry, as others have committed it', async () => {
      const register = (manager: EntityManager, name: string, revision: number) =>
        execute(
          manager,
          `INSERT INTO ${on.tables.handler} (name, pattern, priority, revision, first_seen_at, last_seen_at)
           VALUES (:name, 'group', 0, :revision, 1, 1)`,
          { name, revision },
        );
      expect((await enterKeys(['a'])).revision).toBe(0);
      await register(on.other.manager, 'mail', 3);
      expect((await enterKeys(['b'])).revision).toBe(3);
      await register(on.other.manager, 'badge', 4);
      expect((await enterKeys(['c'], { likelyNew: false })).revision).toBe(7);
    });
  });

  describe('ownersOf', () => {
    it('says whose each known key is, and nothing of the others', async () => {
      const entries = TEXTS.map((text, i) =>
        i === 0 ? entry(text, { entity: null, entityId: null }) : entry(text, { group: `group ${i}`, entityId: text }),
      );
      await enter({ entries, opened: [], now: NOW, likelyNew: true });
      const wanted = entries.map(({ key, group, entity, entityId }) => [key, { group, entity, entityId }] as const);

      expect(await ownersOf([...TEXTS.map((text) => `${text}.`), ...TEXTS])).toEqual(new Map(wanted));
      expect(await ownersOf([TEXTS[3]!])).toEqual(new Map([wanted[3]!]));
    });

    it('looks up 5,000 at once', async () => {
      const all = Array.from({ length: 5_000 }, (_, i) => `key ${i}`);
      await enterKeys(all.slice(0, 10).sort());
      expect((await ownersOf(all)).size).toBe(10);
    });

    it('sees what its own transaction has entered', async () => {
      const owners = on.db.transaction(async (manager) => {
        await on.dialect.enter(manager, enterRequest(['a']));
        return on.dialect.ownersOf(manager, ['a', 'b']);
      });
      expect([...(await owners).keys()]).toEqual(['a']);
    });
  });

  describe('keysInRanges', () => {
    const range = (first: string, last: string, more: Partial<KeyRange> = {}): KeyRange => ({
      group: 'group',
      entity: 'challenge',
      first,
      last,
      most: 100,
      ...more,
    });
    const inRanges = async (...ranges: KeyRange[]) =>
      (await on.dialect.keysInRanges(on.db.manager, ranges)).map((known) => pairs(known));
    const pairs = (known: readonly string[]) =>
      Array.from({ length: known.length / 2 }, (_, i) => `${known[2 * i]} of ${known[2 * i + 1]}`).sort();

    beforeEach(async () => {
      const of = (key: string, entityId: string | null, more: object = {}) => entry(key, { entityId, ...more });
      const entries = [
        of('A7', '7'),
        of('a1', '1'),
        of('a2', '2'),
        of('a3', '3', { group: 'other' }),
        of('a4', '4', { entity: 'person' }),
        of('a5', null, { entity: null }),
        of('a6', null),
        of('b1', '8'),
      ];
      await enter({ entries, opened: [], now: NOW, likelyNew: true });
    });

    it('gives the known keys of each range, its ends among them, each with the id of its entity', async () => {
      expect(await inRanges(range('a1', 'a2'), range('b', 'c'), range('a2', 'a2'), range('c', 'd'))).toEqual([
        ['a1 of 1', 'a2 of 2'],
        ['b1 of 8'],
        ['a2 of 2'],
        [],
      ]);
    });

    it('gives those of the group and the entity alone', async () => {
      const within = (more: Partial<KeyRange>) => range('a1', 'a9', more);
      expect(
        await inRanges(within({}), within({ group: 'other' }), within({ entity: 'person' }), within({ entity: null })),
      ).toEqual([['a1 of 1', 'a2 of 2', 'a6 of '], ['a3 of 3'], ['a4 of 4'], ['a5 of ']]);
      expect(await inRanges(within({ group: 'Group' }), within({ entity: 'Challenge' }))).toEqual([[], []]);
    });

    it('reads no more of a range than is asked for', async () => {
      expect(await inRanges(range('a1', 'a9', { most: 1 }), range('a1', 'a9', { most: 3 }))).toEqual([
        ['a1 of 1'],
        ['a1 of 1', 'a2 of 2'],
      ]);
    });

    it('takes 50 ranges at once', async () => {
      const all = await inRanges(...Array.from({ length: 50 }, (_, i) => range(i % 2 === 0 ? 'a1' : 'b1', 'b1')));
      expect(all).toHaveLength(50);
      expect(all[48]).toEqual(['a1 of 1', 'a2 of 2', 'a6 of ', 'b1 of 8']);
      expect(all[49]).toEqual(['b1 of 8']);
    });

    it('gives nothing that is not so, whatever the keys hold', async () => {
      await enter(
        enterRequest([], { entries: TEXTS.map((text) => entry(text, { group: 'texts', entityId: `${text}.` })) }),
      );
      for (const text of TEXTS) {
        const [known] = await inRanges(range(text, text, { group: 'texts', most: 1 }));
        if (known!.length > 0) expect(known).toEqual([`${text} of ${text}.`]);
        else expect(text).toMatch(/\p{Cc}/u);
      }
    });
  });
});
