import { Injectable } from '@nestjs/common';
import {
  EventSource,
  InvalidOptionsError,
  sparkEvent,
  touch,
  UnknownColumnError,
  UnknownEntityError,
} from 'nestjs-spark';
import {
  Column,
  DataSource,
  DeleteDateColumn,
  Entity,
  type EntityManager,
  In,
  ManyToOne,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type Relation,
  Unique,
} from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { refusal } from './support/refusal.js';

@Entity()
class Challenge {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}

/** Knows its challenge by a number alone. */
@Entity()
@Unique(['code'])
class Donation {
  @PrimaryGeneratedColumn() id: number;
  @Column() code: string;
  @Column() amount: number;
  @Column({ type: 'int', nullable: true }) challengeId: number | null;
  @DeleteDateColumn() deletedAt: Date | null;
}

@Entity()
class Seat {
  @PrimaryColumn() row: number;
  @PrimaryColumn() place: number;
  @Column({ default: 'free' }) note: string;
}

@Entity()
class Ticket {
  @PrimaryGeneratedColumn() id: number;
  @Column() seatRow: number;
  @Column() seatPlace: number;
}

@Entity()
class Comment {
  @PrimaryGeneratedColumn() id: number;
  @ManyToOne(() => Challenge, { nullable: true }) about: Relation<Challenge> | null;
}

let derived: string[] = [];

@Injectable()
class Sources {
  constructor(private readonly dataSource: DataSource) {}

  @EventSource(Challenge, {
    batch: true,
    touchedBy: [touch(Donation, (donation) => donation.challengeId), touch(Comment, (comment) => comment.about!.id)],
  })
  async challenges(challenges: Challenge[]) {
    const donations = await this.dataSource.manager.findBy(Donation, {
      challengeId: In(challenges.map(({ id }) => id)),
    });
    derived.push(...challenges.map(({ id }) => `challenge ${id}`));
    return challenges.map(({ id }) => {
      const own = donations.filter(({ challengeId }) => challengeId === id);
      return sparkEvent('sum', [id, own.reduce((sum, { amount }) => sum + amount, 0)]);
    });
  }

  @EventSource(Seat, { touchedBy: [touch(Ticket, ({ seatRow, seatPlace }) => [seatRow, seatPlace])] })
  async seats(seats: Seat) {
    derived.push(`seat ${seats.row}/${seats.place}`);
    return [];
  }
}

let serial = 0;
const given = (manager: EntityManager, challengeId: number | null) =>
  manager.save(manager.create(Donation, { code: `code-${++serial}`, amount: 5, challengeId }));

interface Write {
  api: string;
  run: (manager: EntityManager, donation: Donation, to: number) => Promise<unknown>;
  /** Which challenges are derived: the old one (1), and the one that it moves to (2). */
  rechecks: number[];
}

const writes: Write[] = [
  { api: 'save, new', run: (m, _, to) => given(m, to), rechecks: [2] },
  { api: 'save, changed', run: (m, donation) => m.save(Object.assign(donation, { amount: 7 })), rechecks: [1] },
  { api: 'save, partial', run: (m, { id }) => m.save(Donation, { id, amount: 8 }), rechecks: [1] },
  {
    api: 'save, moved',
    run: (m, donation, challengeId) => m.save(Object.assign(donation, { challengeId })),
    rechecks: [1, 2],
  },
  { api: 'save, freed', run: (m, donation) => m.save(Object.assign(donation, { challengeId: null })), rechecks: [1] },
  {
    api: 'insert',
    run: (m, _, challengeId) => m.insert(Donation, { code: `code-${++serial}`, amount: 1, challengeId }),
    rechecks: [2],
  },
  {
    api: 'upsert',
    run: (m, { code, challengeId }) => m.upsert(Donation, { code, amount: 9, challengeId }, ['code']),
    rechecks: [1],
  },
  {
    api: 'upsert, moved',
    run: (m, { code }, challengeId) => m.upsert(Donation, { code, amount: 9, challengeId }, ['code']),
    rechecks: [1, 2],
  },
  { api: 'update by criteria', run: (m, { id }) => m.update(Donation, { id }, { amount: 9 }), rechecks: [1] },
  {
    api: 'update by criteria, moved',
    run: (m, { id }, challengeId) => m.update(Donation, { id }, { challengeId }),
    rechecks: [1, 2],
  },
  {
    api: 'update by criteria, moved by an expression',
    run: (m, { id }, to) =>
      m.update(Donation, { id }, { challengeId: () => `${m.dataSource.driver.escape('challengeId')} * 0 + ${to}` }),
    rechecks: [1, 2],
  },
  {
    api: 'update by criteria, freed',
    run: (m, { id }) => m.update(Donation, { id }, { challengeId: null }),
    rechecks: [1],
  },
  { api: 'increment', run: (m, { id }) => m.increment(Donation, { id }, 'amount', 1), rechecks: [1] },
  {
    api: 'a builder of updates',
    run: (m, { id }, challengeId) =>
      m.createQueryBuilder().update(Donation).set({ challengeId }).where({ id }).execute(),
    rechecks: [1, 2],
  },
  { api: 'remove', run: (m, donation) => m.remove(donation), rechecks: [1] },
  { api: 'delete by criteria', run: (m, { code }) => m.delete(Donation, { code }), rechecks: [1] },
  {
    api: 'a builder of deletes',
    run: (m, { id }) => m.createQueryBuilder().delete().from(Donation).where({ id }).execute(),
    rechecks: [1],
  },
  { api: 'softRemove', run: (m, donation) => m.softRemove(donation), rechecks: [1] },
  { api: 'softDelete', run: (m, { id }) => m.softDelete(Donation, { id }), rechecks: [1] },
  {
    api: 'recover',
    run: async (m, donation) => m.recover(await m.softRemove(donation)),
    rechecks: [1],
  },
  { api: 'restore', run: (m, { id }) => m.restore(Donation, { id }), rechecks: [1] },
];

const entities = [Challenge, Donation, Seat, Ticket, Comment];

describe.each(databases)('what names an entity touches it, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let manager: EntityManager;

  beforeAll(async () => {
    db = await database.create();
    app = await startApp({ database: db, entities, providers: [Sources], spark: { worker: { pollInterval: '1h' } } });
    manager = app.dataSource.manager;
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const rechecksOf = async (write: () => Promise<unknown>) => {
    await app.spark.drain();
    derived = [];
    await write();
    await app.spark.drain();
    return [...new Set(derived)].sort();
  };

  it.each(writes)('by $api', async ({ run, rechecks }) => {
    const [from, to, other] = await manager.save(Challenge, [{ title: 'a' }, { title: 'b' }, { title: 'c' }]);
    const donation = await given(manager, from!.id);
    await given(manager, other!.id);
    const ids = rechecks.map((n) => [from!.id, to!.id][n - 1]!);
    expect(await rechecksOf(() => run(manager, donation, to!.id))).toEqual(ids.map((id) => `challenge ${id}`).sort());
  });

  it('and the event that it makes true is there', async () => {
    const { id } = await manager.save(Challenge, { title: 'a' });
    await given(manager, id);
    await app.spark.drain();
    await given(manager, id);
    await app.spark.drain();
    const keys = await app.dataSource.query(
      `SELECT event_key FROM spark_event WHERE event_key LIKE 'sum_${id},%' ORDER BY id`,
    );
    expect(keys.map((row: any) => row.event_key).slice(-2)).toEqual([`sum_${id},5`, `sum_${id},10`]);
  });

  it('not in a transaction that is rolled back', async () => {
    const { id } = await manager.save(Challenge, { title: 'a' });
    const rolledBack = () =>
      app.dataSource.transaction(async (inner) => {
        await given(inner, id);
        throw new Error('no');
      });
    expect(await rechecksOf(() => rolledBack().catch(() => undefined))).toEqual([]);
  });

  it('by the key of a relation that the source does not load', async () => {
    const [a, b] = await manager.save(Challenge, [{ title: 'a' }, { title: 'b' }]);
    const comment = await manager.save(manager.create(Comment, { about: a }));
    expect(await rechecksOf(() => manager.save(Object.assign(comment, { about: b })))).toEqual(
      [`challenge ${a!.id}`, `challenge ${b!.id}`].sort(),
    );
    expect(await rechecksOf(() => manager.remove(comment))).toEqual([`challenge ${b!.id}`]);
  });

  it.runIf(database.name === 'PostgreSQL')('by statements that do not overlap, however many are removed', async () => {
    const [a, b] = await manager.save(Challenge, [{ title: 'a' }, { title: 'b' }]);
    const comments = [1, 2, 3, 4].map((i) => manager.create(Comment, { about: i % 2 ? a : b }));
    await manager.save(comments);
    let [open, most] = [0, 0];
    const remove = () =>
      app.dataSource.transaction(async (inner) => {
        const client = (await inner.queryRunner!.connect()) as { query: (...args: unknown[]) => Promise<unknown> };
        const { query } = client;
        client.query = (...args) => {
          most = Math.max(most, ++open);
          return query.apply(client, args).finally(() => open--);
        };
        await inner.remove(comments).finally(() => (client.query = query));
      });
    expect(await rechecksOf(remove)).toEqual([`challenge ${a!.id}`, `challenge ${b!.id}`].sort());
    expect(most).toBe(1);
  });

  it('by a composite key, also where a part of it moves', async () => {
    for (const place of [1, 2, 3]) await manager.save(Seat, { row: 7, place });
    const ticket = await manager.save(manager.create(Ticket, { seatRow: 7, seatPlace: 1 }));
    expect(await rechecksOf(() => manager.save(Object.assign(ticket, { seatPlace: 2 })))).toEqual([
      'seat 7/1',
      'seat 7/2',
    ]);
    expect(await rechecksOf(() => manager.update(Ticket, { id: ticket.id }, { seatPlace: 3 }))).toEqual([
      'seat 7/2',
      'seat 7/3',
    ]);
    expect(await rechecksOf(() => manager.update(Ticket, { id: ticket.id }, { seatRow: 7, seatPlace: 1 }))).toEqual([
      'seat 7/1',
      'seat 7/3',
    ]);
    expect(await rechecksOf(() => manager.delete(Ticket, { id: ticket.id }))).toEqual(['seat 7/1']);
  });
});

describe('a touch that cannot be', () => {
  const columns = 'Its columns: id, code, amount, challengeId, deletedAt.';
  it.each<[string, (donation: any) => unknown, string]>([
    ['an unknown column', (d) => d.challengId, 'names "challengId", which is not a column of it'],
    ['a part of a column', (d) => d.code.length, 'names "code.length", which is not a column of it'],
    ['the entity itself', (d) => d, 'returns the entity itself instead of a property'],
    ['a value', () => 7, 'returns 7 instead of a property'],
    ['nothing', () => undefined, 'returns undefined instead of a property'],
    ['text', (d) => `${d.challengeId}`, 'does more than name a property'],
    ['a call', (d) => d.challengeId.toString(), 'does more than name a property'],
    ['a choice', (d) => (d.code === 'x' ? d.id : d.challengeId), 'also reads "code"'],
    [
      'too many columns',
      (d) => [d.id, d.challengeId],
      'names 2 columns (id, challengeId), but the id of Challenge has 1',
    ],
    ['no column', () => [], 'names 0 columns, but the id of Challenge has 1'],
  ])('%s', async (_, key, reason) => {
    @Injectable()
    class Wrong {
      @EventSource(Challenge, { touchedBy: [touch(Donation, key)] }) events() {
        return [];
      }
    }
    const error = await refusal({ entities, providers: [Wrong] });
    expect(error).toBeInstanceOf(UnknownColumnError);
    expect(error.message).toContain(`touch(Donation) in touchedBy of @EventSource on Wrong.events ${reason}`);
    expect(error.message).toContain(columns);
  });

  it('names relations by the key that they refer to', async () => {
    @Injectable()
    class Wrong {
      @EventSource(Challenge, { touchedBy: [touch(Comment, (comment) => comment.about)] }) events() {
        return [];
      }
    }
    expect((await refusal({ entities, providers: [Wrong] })).message).toContain('Its columns: id, about.id.');
  });

  it('an entity that the DataSource does not know', async () => {
    class Stranger {
      id: number;
    }
    @Injectable()
    class Wrong {
      @EventSource(Challenge, { touchedBy: [touch(Stranger, ({ id }) => id)] }) events() {
        return [];
      }
    }
    const error = await refusal({ entities, providers: [Wrong] });
    expect(error).toBeInstanceOf(UnknownEntityError);
    expect(error.message).toContain('Stranger');
  });

  it('something else', async () => {
    @Injectable()
    class Wrong {
      @EventSource(Challenge, { touchedBy: [Donation] as never }) events() {
        return [];
      }
    }
    expect(await refusal({ entities, providers: [Wrong] })).toBeInstanceOf(InvalidOptionsError);
  });
});
