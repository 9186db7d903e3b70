import { Injectable } from '@nestjs/common';
import { type DeliveryReport, EventSource, GroupHandler, snapshot, sparkEvent, type SparkEvent } from 'nestjs-spark';
import {
  ChildEntity,
  Column,
  DeleteDateColumn,
  Entity,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type Relation,
  TableInheritance,
} from 'typeorm';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';

@Entity()
class Challenge {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
  @Column({ nullable: true }) prize: number;
  @OneToMany(() => Donation, (donation) => donation.challenge) donations: Relation<Donation>[];
}

@Entity()
class Donation {
  @PrimaryGeneratedColumn() id: number;
  @Column() amount: number;
  @ManyToOne(() => Challenge, (challenge) => challenge.donations) challenge: Relation<Challenge>;
}

@Entity()
class Note {
  @PrimaryGeneratedColumn() id: number;
  @Column() text: string;
  @DeleteDateColumn() deletedAt: Date | null;
}

@Entity()
class Seat {
  @PrimaryColumn() row: string;
  @PrimaryColumn() number: number;
  @Column() state: string;
}

@Entity()
class Ticket {
  @PrimaryColumn('uuid') id: string;
  @Column() state: string;
}

@Entity()
class Big {
  @PrimaryColumn({ type: 'bigint' }) id: string;
  @Column() state: string;
}

@Entity()
@TableInheritance({ column: { type: 'varchar', name: 'kind' } })
class Animal {
  @PrimaryGeneratedColumn() id: number;
  @Column() name: string;
}

@ChildEntity()
class Dog extends Animal {
  @Column({ nullable: true }) bark: string;
}

const entities = [Challenge, Donation, Note, Seat, Ticket, Big, Animal, Dog];

@Injectable()
class Events {
  @EventSource(Challenge, { relations: { donations: true }, where: { title: 'open' } })
  *challenges(challenge: Challenge) {
    const [donation] = challenge.donations;
    if (!donation) return;
    const was = snapshot(challenge);
    yield sparkEvent('challenge', challenge.id, { challenge, donation, was, all: new Map([['it', [challenge]]]) });
  }

  @EventSource(Note, { withDeleted: true })
  *notes(note: Note) {
    yield sparkEvent('note', note.id, { note });
  }
}

@Injectable()
class Handlers {
  readonly got = new Map<string, SparkEvent<any>>();
  readonly kept: unknown[] = [];
  readonly seen: unknown[] = [];

  @GroupHandler(/./, { name: 'first' })
  first(event: SparkEvent<any>) {
    this.got.set(event.key, event);
  }

  @GroupHandler(/^may_miss/, { name: 'deliver', missing: 'deliver' })
  deliver({ context }: SparkEvent) {
    this.kept.push(context);
  }

  @GroupHandler(/^shared/, { name: 'spoils' })
  spoil({ context }: SparkEvent<{ note: Note; list: number[] }>) {
    this.recheck(context);
    context.note.text = 'spoilt';
    context.list.push(2);
  }

  @GroupHandler(/^shared/, { name: 'spoils as well' })
  spoilToo(event: SparkEvent<{ note: Note; list: number[] }>) {
    this.spoil(event);
  }

  private recheck({ note, list }: { note: Note; list: number[] }) {
    this.seen.push([note.text, [...list]]);
  }
}

describe.each(databases)('a context survives, on $name', (database) => {
  const log = new QueryLog();
  let db: TestDatabase;
  let app: TestApp;
  let handlers: Handlers;
  let reports: DeliveryReport[];

  beforeAll(async () => {
    db = await database.create();
    // Nothing is handled until a test drains: what happens in between is part of the promise.
    const spark = { worker: false } as const;
    app = await startApp({ database: db, entities, providers: [Events, Handlers], spark, dataSource: { logger: log } });
    handlers = app.app.get(Handlers);
    app.spark.deliveries$.subscribe((report) => reports.push(report));
  });
  beforeEach(() => {
    reports = [];
    handlers.got.clear();
    handlers.kept.length = 0;
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  let emitted = 0;
  /** What a handler gets when this is the context of an event, after `meanwhile`. */
  const handed = async (context: unknown, meanwhile: () => Promise<unknown> = async () => undefined) => {
    const key = `it_${++emitted}`;
    await app.spark.emit(sparkEvent('it', emitted, context));
    await meanwhile();
    await app.spark.drain();
    expect(reports.filter((report) => report.key === key)).toMatchObject([{ state: 'completed' }]);
    return handlers.got.get(key)!.context;
  };
  const save = <E extends object>(entity: new () => E, values: object): Promise<E> =>
    app.dataSource.manager.save(Object.assign(new entity(), values));
  const sql = (statement: string) =>
    app.dataSource.query(database.name === 'MariaDB' ? statement.replaceAll('"', '`') : statement);

  describe('values come back as they were:', () => {
    it.each<[string, unknown]>([
      ['nothing', undefined],
      ['null', null],
      ['text', 'ä 😀 \0 \ud800 "quoted" \\ \u2028'],
      ['numbers', [0, -0, 1.5, 1e308, Number.NaN, Infinity, -Infinity, Number.MAX_SAFE_INTEGER]],
      ['dates', { at: new Date('2026-02-28T23:59:59.999Z'), never: new Date(Number.NaN), first: new Date(0) }],
      ['bigints', { big: 2n ** 80n, small: -1n, same: [1n, 1n] }],
      [
        'maps',
        new Map<unknown, unknown>([
          ['a', 1],
          [2n, new Date(0)],
          [{ k: 1 }, new Map([[1, 2]])],
        ]),
      ],
      ['sets', new Set([1, '1', 1n, new Date(0)])],
      ['absent and undefined', { there: undefined, list: [undefined, null] }],
      ['URLs and regular expressions', { url: new URL('https://example.org/?q=1#x'), re: /^a+$/giu }],
      ['bytes', { buffer: Buffer.from([0, 255]), view: new Uint16Array([1, 65535]), big: new BigInt64Array([-1n]) }],
      ['odd names', { 'a.b': 1, '': 2, '0': 3, 'with space': { toString: 'text' } }],
      ['a deep one', Array.from({ length: 100 }).reduce<unknown>((inner) => ({ inner }), 'end')],
    ])('%s', async (_, context) => {
      expect(await handed(context)).toStrictEqual(context);
    });

    it('errors, with their causes', async () => {
      const { error } = await handed({ error: new TypeError('outer', { cause: new Error('inner') }) });
      expect(error).toBeInstanceOf(Error);
      expect([error.name, error.message, error.cause.message]).toEqual(['TypeError', 'outer', 'inner']);
    });

    it('the instant of the event, to the millisecond', async () => {
      const at = new Date('2026-02-28T23:59:59.999Z');
      await app.spark.emit([sparkEvent('at', 1, 1, { at }), sparkEvent('at', 2, 2)]);
      await app.spark.drain();
      const given = { group: 'at', id: expect.any(String), recorded: expect.any(Date) };
      expect([...handlers.got.values()]).toEqual([
        { ...given, key: 'at_1', context: 1, at },
        { ...given, key: 'at_2', context: 2 },
      ]);
    });
  });

  describe('entities are read again when the event is handled', () => {
    it('with the relations of the source, though they match its `where` no more', async () => {
      const challenge = await save(Challenge, { title: 'open' });
      const donation = await save(Donation, { amount: 5, challenge });
      await app.spark.sweep();
      await sql(`UPDATE challenge SET title = 'closed' WHERE id = ${challenge.id}`);
      await sql(`UPDATE donation SET amount = 6 WHERE id = ${donation.id}`);
      await sql(`INSERT INTO donation (amount, "challengeId") VALUES (7, ${challenge.id})`);
      await app.spark.drain();

      const { context } = handlers.got.get(`challenge_${challenge.id}`)!;
      expect(context.challenge).toBeInstanceOf(Challenge);
      expect(context.challenge).toMatchObject({ id: challenge.id, title: 'closed', prize: null });
      const amounts = (donations: Donation[]) => donations.map(({ amount }) => amount).sort();
      expect(amounts(context.challenge.donations)).toEqual([6, 7]);
      expect(context.challenge.donations[0]).toBeInstanceOf(Donation);
      // The entity of another source, or of none, comes without relations.
      expect(context.donation).toBeInstanceOf(Donation);
      expect(context.donation).toEqual({ id: donation.id, amount: 6 });
      expect(context.all.get('it')).toEqual([context.challenge]);
      // A snapshot is what it was.
      expect(context.was).toBeInstanceOf(Challenge);
      expect(context.was).toMatchObject({ title: 'open', donations: [{ amount: 5 }] });
      expect(context.was.donations[0]).toBeInstanceOf(Donation);
    });

    it('by composite, uuid and bigint keys, and as the child that they are', async () => {
      const seat = await save(Seat, { row: 'ä,"1', number: 7, state: 'old' });
      const other = await save(Seat, { row: 'ä,"1', number: 8, state: 'other' });
      const ticket = await save(Ticket, { id: randomUUID(), state: 'old' });
      // SQLite's driver gives numbers, and rounds what is larger.
      const [low, high] =
        database.name === 'SQLite' ? [2 ** 53 - 2, 2 ** 53 - 1] : [`${2n ** 62n}`, `${2n ** 62n + 1n}`];
      const near = await save(Big, { id: low, state: 'near' });
      const big = await save(Big, { id: high, state: 'old' });
      const dog = await save(Dog, { name: 'old', bark: 'wuff' });
      const context = { seat, other, ticket, big, near, dog, animal: dog };
      const got = await handed(context, async () => {
        await sql(`UPDATE seat SET state = 'new' WHERE number = 7`);
        await sql(`UPDATE ticket SET state = 'new'`);
        await sql(`UPDATE big SET state = 'new' WHERE id = ${high}`);
        await sql(`UPDATE animal SET name = 'new'`);
      });
      expect(got).toStrictEqual({
        seat: Object.assign(new Seat(), { row: 'ä,"1', number: 7, state: 'new' }),
        other,
        ticket: Object.assign(new Ticket(), { id: ticket.id, state: 'new' }),
        big: Object.assign(new Big(), { id: high, state: 'new' }),
        near,
        dog: Object.assign(new Dog(), { id: dog.id, name: 'new', bark: 'wuff' }),
        animal: got.dog,
      });
    });

    it('though what was given was not whole', async () => {
      const note = await save(Note, { text: 'whole' });
      const part = app.dataSource.manager.create(Note, { id: note.id });
      expect((await handed({ part })).part).toMatchObject({ id: note.id, text: 'whole' });
    });

    it('all of one kind by one statement for all that is claimed at once', async () => {
      const notes = await Promise.all(Array.from({ length: 9 }, (_, i) => save(Note, { text: `nr ${i}` })));
      await app.spark.drain();
      handlers.got.clear();
      await app.spark.emit(notes.map((note) => sparkEvent('batch', note.id, { note, again: [note] })));
      log.statements.length = 0;
      await app.spark.drain();
      expect(handlers.got.size).toBe(9);
      const reads = log.statements.filter((statement) => /^SELECT.*FROM .note. /s.test(statement));
      expect(reads).toHaveLength(1);
    });

    it('soft-deleted ones too when the source is about them', async () => {
      const note = await save(Note, { text: 'deleted' });
      await app.dataSource.manager.softDelete(Note, note.id);
      await app.spark.drain();
      expect(handlers.got.get(`note_${note.id}`)!.context.note).toMatchObject({ text: 'deleted' });
    });

    it('for each handler anew: what one does to its context, another does not see', async () => {
      const note = await save(Note, { text: 'shared' });
      await app.spark.emit([
        sparkEvent('shared', 1, { note, list: [1] }),
        sparkEvent('shared', 2, { note, list: [1] }),
      ]);
      await app.spark.drain();
      expect(handlers.seen).toEqual(Array.from({ length: 4 }, () => ['shared', [1]]));
    });
  });

  describe('when an entity is gone', () => {
    const emitAndRemove = async (group: string) => {
      const gone = await save(Note, { text: 'gone' });
      const there = await save(Note, { text: 'there' });
      await app.spark.drain();
      reports = [];
      await app.spark.emit([
        sparkEvent(group, 1, { gone, there }),
        sparkEvent(group, 2, { there }),
        sparkEvent(group, 3, { gone: snapshot(gone) }),
      ]);
      await sql(`DELETE FROM note WHERE id = ${gone.id}`);
      handlers.got.clear();
      await app.spark.drain();
      return { gone, there };
    };

    it('the delivery is discarded and says why; its neighbours are handled', async () => {
      const { gone } = await emitAndRemove('removed');
      expect([...handlers.got.keys()].sort()).toEqual(['removed_2', 'removed_3']);
      const report = reports.find(({ key }) => key === 'removed_1');
      expect(report).toMatchObject({ state: 'discarded', attempt: 1, error: `Note ${gone.id} in its context is gone` });
      const rows = await sql(`SELECT last_error FROM spark_delivery WHERE state = 'discarded'`);
      expect(rows).toEqual([{ last_error: `Note ${gone.id} in its context is gone` }]);
      expect(app.logs.join('\n')).toContain(`Note ${gone.id} in its context is gone`);
    });

    it(`with missing: 'deliver' it is handed over with null in its place`, async () => {
      const { gone, there } = await emitAndRemove('may_miss');
      expect(handlers.kept).toHaveLength(3);
      expect(handlers.kept).toEqual(expect.arrayContaining([{ gone: null, there }, { there }, { gone }]));
      expect(reports.filter(({ handler, state }) => handler === 'deliver' && state === 'completed')).toHaveLength(3);
    });
  });
});
