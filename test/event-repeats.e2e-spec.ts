import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent, type SparkEventOptions } from 'nestjs-spark';
import { type SparkTestKit, TestClock } from 'nestjs-spark/testing';
import {
  Column,
  Entity,
  Index,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type Relation,
} from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';
import { DAY, HOUR } from './support/set-clock.js';
import { dues, letters, startTimed } from './support/timed-app.js';

@Entity()
class Invoice {
  @PrimaryColumn() id: number;
  @Column({ default: false }) isPaid: boolean;
  /** Epoch ms as text. */
  @Column({ type: 'varchar', length: 20, nullable: true }) due: string | null;
  @OneToMany(() => Line, (line) => line.invoice) lines: Relation<Line[]>;
}

@Entity()
class Line {
  @PrimaryGeneratedColumn() id: number;
  @Index() @ManyToOne(() => Invoice, (invoice) => invoice.lines) invoice: Relation<Invoice>;
}

const START = Date.parse('2026-06-01T12:00:00Z');
const WEEK = 7 * DAY;

let options: SparkEventOptions = {};
let large = '';
const fromOf = ({ due }: Invoice) => (due === null ? null : new Date(Number(due)));
const weekly = (invoice: Invoice) =>
  invoice.isPaid
    ? []
    : [sparkEvent('weekly', invoice.id, { large }, { every: '7d', from: fromOf(invoice), ...options })];

@Injectable()
class OwnRow {
  @EventSource(Invoice)
  *events(invoice: Invoice) {
    yield* weekly(invoice);
  }
}

@Injectable()
class WithRelations {
  @EventSource(Invoice, { relations: { lines: true } })
  async events(invoice: Invoice) {
    return invoice.lines.length > 0 ? [] : weekly(invoice);
  }
}

@Injectable()
class Batch {
  @EventSource(Invoice, { batch: true })
  async events(invoices: Invoice[]) {
    return invoices.flatMap(weekly);
  }
}

/** What an event that repeats stands for, in two events. */
@Injectable()
class Twice {
  @EventSource(Invoice)
  *events({ id }: Invoice) {
    yield sparkEvent('now', id);
    yield sparkEvent('later', id, {}, { at: new Date(START + WEEK) });
  }
}

@Injectable()
class NotLive {
  @EventSource(Invoice, { live: false })
  *events(invoice: Invoice) {
    yield* weekly(invoice);
  }
}

const Handlers = letters(10 * DAY, ['d', DAY]);

const iso = (days: number) => new Date(START + days * DAY).toISOString();
const keysOf = (...days: number[]) => days.map((day) => `weekly_1@${iso(day)}`);

describe.each(databases)('an event repeats, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let kit: SparkTestKit;
  let clock: TestClock;

  const log = new QueryLog();

  const start = async (source: any) => {
    const providers = [Handlers, source];
    ({ app, kit } = await startTimed({ database: db, entities: [Invoice, Line], providers, clock }, log));
  };
  beforeEach(async () => {
    options = {};
    large = '';
    clock = new TestClock(START);
    db = await database.create();
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const save = (days: number | null, rest: Partial<Invoice> = {}) => {
    const due = days === null ? null : String(START + days * DAY);
    return app.dataSource.manager.save(Object.assign(new Invoice(), { id: 1, due, ...rest }));
  };
  const handled = () => app.app.get(Handlers).handled.splice(0);
  const due = () => dues(app, START, DAY);

  describe.each([OwnRow, WithRelations, Batch])('from a source %o', (source) => {
    it('at each of its instants, the first included, without a sweep', async () => {
      await start(source);
      await save(0);
      await kit.drain();
      expect(handled()).toEqual(keysOf(0));
      await kit.advance(WEEK - 1);
      expect(handled()).toEqual([]);
      await kit.advance('5w');
      expect(handled()).toEqual(keysOf(7, 14, 21, 28, 35));
      expect(await kit.events()).toEqual(keysOf(0, 7, 14, 21, 28, 35));
      expect(await due()).toEqual([42]);
    });

    it('not before its first instant, and never without one', async () => {
      await start(source);
      await save(null);
      await kit.advance('5w');
      expect([await kit.events(), await due()]).toEqual([[], []]);
      await save(40);
      await kit.advance('12d');
      expect(handled()).toEqual(keysOf(40, 47));
    });

    it('by the latest one only after a downtime', async () => {
      await start(source);
      await save(0);
      await kit.drain();
      await app.close();
      await start(source);
      clock.set(START + 5 * WEEK + 3 * DAY);
      await kit.drain();
      expect(handled()).toEqual([`weekly_1@${iso(35)} late by 3 d`]);
      await kit.advance('4d');
      expect(handled()).toEqual(keysOf(42));
    });

    it('at the instants of another anchor when it is moved', async () => {
      await start(source);
      await save(1);
      await kit.advance('9d');
      await save(10);
      await kit.advance('2w');
      expect(handled()).toEqual(keysOf(1, 8, 10, 17));
    });

    it('until its condition stops', async () => {
      await start(source);
      await save(1);
      await kit.advance('9d');
      await save(1, { isPaid: true });
      await kit.advance('5w');
      expect(handled()).toEqual(keysOf(1, 8));
      expect(await due()).toEqual([]);
      await save(1, { isPaid: false });
      await kit.drain();
      expect(handled()).toEqual([`weekly_1@${iso(43)} late by 1 d`]);
    });

    it('until its until, exclusive, which is the until of each', async () => {
      options = { until: new Date(START + 2 * WEEK) };
      await start(source);
      await save(0);
      await kit.advance('5w');
      expect(handled()).toEqual(keysOf(0, 7));
      expect(await due()).toEqual([]);
      expect((await app.spark.events()).records.map(({ until }) => until)).toEqual([options.until, options.until]);
    });

    it('not after its until, even if the latest was missed', async () => {
      options = { until: new Date(START + 15 * DAY) };
      await start(source);
      await save(0);
      await kit.drain();
      clock.set(START + 15 * DAY);
      await kit.drain();
      await save(0, { isPaid: true });
      await save(0);
      expect(await kit.events()).toEqual(keysOf(0));
    });

    it('by each missed instant if all are to be caught up', async () => {
      options = { catchUp: 'all' };
      await start(source);
      await save(1);
      clock.set(START + 23 * DAY);
      await kit.drain();
      await kit.advance('6d');
      expect(await kit.events()).toEqual(keysOf(1, 8, 15, 22, 29));
    });

    it('by the latest instant of a table that has data, and then by itself', async () => {
      await start(source);
      await app.dataSource.query(
        `INSERT INTO invoice VALUES (1, ${db.options.type === 'postgres' ? 'false' : '0'}, '${START - 10 * DAY}')`,
      );
      await app.spark.sweep();
      await kit.drain();
      expect(handled()).toEqual([`weekly_1@${iso(-3)} late by 3 d`]);
      await kit.advance('2w');
      expect(handled()).toEqual(keysOf(4, 11));
    });

    it('as long as it is derived, whatever has become of its rechecks', async () => {
      await start(source);
      await save(0);
      await kit.drain();
      const forget = () => app.dataSource.query('DELETE FROM spark_recheck');
      await forget();
      await app.spark.sweep();
      expect(await due()).toEqual([7]);
      await forget();
      await app.dataSource.manager.update(Invoice, 1, { due: String(START) });
      await kit.drain();
      expect(await due()).toEqual([7]);
      await forget();
      await save(0, { isPaid: true });
      await save(0, { isPaid: false });
      await kit.drain();
      expect(await due()).toEqual([7]);
      expect(await kit.events()).toEqual(keysOf(0));
    });

    it('and an occurrence is wanted as long as it is one, also when there are later ones', async () => {
      await start(source);
      app.app.get(Handlers).fails = true;
      await save(0);
      await kit.advance('9d');
      app.app.get(Handlers).fails = false;
      await save(7);
      await kit.advance('9d');
      expect(handled()).toEqual([...keysOf(14), `weekly_1@${iso(7)} late by 10 d`]);
      expect(await kit.deliveries()).toMatchObject([
        { key: keysOf(0)[0], state: 'skipped' },
        { key: keysOf(7)[0], state: 'completed', attempt: 2 },
        { key: keysOf(14)[0], state: 'completed', attempt: 1 },
      ]);
    });

    it('as its plan says', async () => {
      await start(source);
      await save(7);
      const planned: { key: string; at: string; outcome: string }[] = [];
      for await (const one of app.spark.plan({ at: new Date(START + 35 * DAY) }))
        planned.push({
          key: 'key' in one ? one.key : '',
          at: 'at' in one ? one.at.toISOString() : '',
          outcome: one.outcome,
        });
      const days = [7, 14, 21, 28, 35];
      expect(planned).toEqual([
        ...days.map((day) => ({ key: keysOf(day)[0], at: iso(day), outcome: 'enter' })),
        { key: keysOf(42)[0], at: iso(42), outcome: 'schedule' },
      ]);
      await kit.advance('35d');
      expect(await kit.events()).toEqual(planned.slice(0, -1).map(({ key }) => key));
    });

    it('and is explained: what has happened, and what comes next', async () => {
      await start(source);
      await save(0);
      await kit.advance('8d');
      const { words, sources } = await app.spark.explain(Invoice, 1);
      expect(sources[0]!.events.map(({ key, verdict }) => `${key} ${verdict}`)).toEqual([
        `${keysOf(7)[0]} true`,
        `${keysOf(14)[0]} later`,
      ]);
      const name = `${source.name}.events`;
      expect(words.filter((line) => !line.includes('→'))).toEqual([
        `${keysOf(14)[0]}: it becomes true at ${iso(14)}. The entity is rechecked then.`,
        `${keysOf(0)[0]} was entered, found by ${name}, ${iso(0)}.`,
        `${keysOf(7)[0]} was entered, found by ${name}, ${iso(7)}.`,
      ]);
      await save(1);
      await kit.drain();
      const { words: then } = await app.spark.explain(Invoice, 1);
      expect(then.filter((line) => line.includes('no longer'))).toEqual([
        `${keysOf(0)[0]} was entered, found by ${name}, ${iso(0)}. Its source no longer yields it.`,
        `${keysOf(7)[0]} was entered, found by ${name}, ${iso(7)}. Its source no longer yields it.`,
      ]);
      const cancelled: string[] = [];
      for await (const one of app.spark.plan({ at: new Date(START + 20 * DAY) }))
        if (one.outcome === 'cancel') cancelled.push(one.at.toISOString());
      expect(cancelled).toEqual([iso(14)]);
    });
  });

  it('as often as a plan says that has room for 1,000 dates of an entity', async () => {
    await start(OwnRow);
    options = { every: '1m' };
    await save(0);
    const [keys, problems] = [[] as string[], [] as string[]];
    for await (const one of app.spark.plan({ at: new Date(START + DAY) }))
      if (one.outcome === 'enter') keys.push(one.key);
      else if (one.outcome === 'fail') problems.push(one.reason);
    expect(problems).toEqual(['it yields more than 1000 dates until the end of the plan']);
    const minute = (n: number) => `weekly_1@${new Date(START + n * (HOUR / 60)).toISOString()}`;
    // The first one has happened.
    const first = Array.from({ length: 1_000 }, (_, n) => minute(n + 1));
    expect(keys).toEqual([...first, minute(24 * 60)]);
  });

  it('each missed one, if it is to catch up, however large the contexts are', async () => {
    await start(OwnRow);
    options = { every: '1h', catchUp: 'all' };
    large = 'x'.repeat(20_000);
    await save(0);
    clock.set(START + 900 * HOUR);
    await kit.drain();
    const count = async () => Number((await app.dataSource.query('SELECT COUNT(*) AS n FROM spark_event'))[0].n);
    // In the first recheck, the contexts are too large together. The next ones go on.
    for (let tries = 0; tries < 10 && (await count()) < 901; tries++) await app.spark.sweep();
    expect(await count()).toBe(901);
    await kit.advance('50h');
    expect(await count()).toBe(951);
    expect(app.logs.filter((line) => line.includes('million characters')).length).toBeLessThan(2);
  }, 120_000);

  it('in the transaction of a save with its latest instant alone, and right after it with all that were missed', async () => {
    await start(OwnRow);
    options = { every: '1h', catchUp: 'all' };
    log.statements.length = 0;
    await save(-10);
    expect(await kit.events()).toEqual([`weekly_1@${iso(0)}`]);
    expect(await due()).toEqual([0, 1 / 24]);
    await kit.drain();
    expect(await kit.events()).toHaveLength(241);
    expect(await due()).toEqual([1 / 24]);
  });

  it('and has ended when its until has passed: explain says so', async () => {
    await start(OwnRow);
    options = { until: new Date(START + 10 * DAY) };
    await save(0);
    await kit.advance('5w');
    expect((await app.spark.explain(Invoice, 1)).words[0]).toBe(
      `weekly_1: it has ended: its until, ${iso(10)}, is past.`,
    );
    options = { every: '0 0 1 1 *', until: new Date(START + 90 * DAY) };
    expect((await app.spark.explain(Invoice, 1)).words[0]).toBe(
      `weekly_1: it has no instant before its until, ${iso(90)}.`,
    );
  });

  it('and costs a save what an event and a date cost', async () => {
    const counts: number[][] = [];
    for (const source of [Twice, OwnRow]) {
      await start(source);
      const own: number[] = [];
      for (const isPaid of [false, true, false, true, false]) {
        log.statements.length = 0;
        // Nothing is yielded of a paid one.
        await save(0, { isPaid });
        if (!isPaid) own.push(log.statements.length);
      }
      counts.push(own);
      if (source === OwnRow) continue;
      // The next source has no past.
      for (const table of ['spark_recheck', 'invoice']) await app.dataSource.query(`DELETE FROM ${table}`);
      await app.close();
    }
    expect(counts[1]).toEqual(counts[0]);
  });

  it('at local times, each once, where clocks go forward and back', async () => {
    await start(OwnRow);
    const at = (instant: string) => `weekly_1@${instant}:00.000Z`;
    const daily = { every: '30 2 * * *', timeZone: 'Europe/Berlin' };
    options = { ...daily, from: new Date('2026-10-23T00:00:00Z') };
    await save(0);
    await kit.advanceTo('2026-10-27T00:00:00Z');
    const autumn = ['2026-10-23T00:30', '2026-10-24T00:30', '2026-10-25T00:30', '2026-10-26T01:30'];
    expect(handled()).toEqual(autumn.map(at));
    options = { ...daily, from: new Date('2027-03-27T00:00:00Z') };
    await save(0);
    await kit.advanceTo('2027-03-30T00:00:00Z');
    expect(handled()).toEqual(['2027-03-27T01:30', '2027-03-28T01:00', '2027-03-29T00:30'].map(at));
  }, 120_000);

  it('only by sweeps from a source that is not live', async () => {
    await start(NotLive);
    await save(0);
    await kit.advance('10d');
    expect(await kit.events()).toEqual([]);
    await app.spark.sweep();
    expect(await kit.events()).toEqual(keysOf(7));
    expect(await due()).toEqual([]);
  });

  it('only if it is described well: its source is told what to write', async () => {
    await start(OwnRow);
    options = { occurrence: 3 };
    await save(0);
    await kit.advance('5w');
    expect(await kit.events()).toEqual([]);
    const told =
      /OwnRow.events yielded an event \(group "weekly"\) for Invoice 1 that cannot be entered: it has an occurrence, 3, and every/;
    expect(app.logs.filter((line) => told.test(line))).toHaveLength(1);
  });

  it('never if it is emitted: nothing could stop it', async () => {
    await start(OwnRow);
    const event = sparkEvent('weekly', 1, {}, { every: '7d', from: new Date(START - HOUR) });
    await expect(app.spark.emit(event)).rejects.toThrow(
      'SparkService.emit was given an event (group "weekly", key "weekly_1") that cannot be entered: it repeats. Let a source yield it',
    );
    await expect(app.spark.emit(sparkEvent('weekly', 1, {}, { every: '7d', from: null }))).resolves.toEqual([]);
  });
});
