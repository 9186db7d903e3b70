import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import fc from 'fast-check';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { rounds } from './support/rounds.js';
import { HOUR } from './support/set-clock.js';

const MINUTE = HOUR / 60;

/** What a row says. `stop` is the end of its events in epoch ms, as text. */
@Entity()
class Sensor {
  @PrimaryColumn() id: number;
  @Column() isOff: boolean;
  @Column() isHot: boolean;
  /** Distinguishes times that it was off. */
  @Column() spell: number;
  /** How long it must have been off, in minutes. */
  @Column() patience: number;
  @Column({ type: 'varchar', length: 20, nullable: true }) stop: string | null;
}

type Row = Readonly<Sensor>;
const untilOf = ({ stop }: Row) => (stop === null ? null : new Date(Number(stop)));

/** The events that a row stands for: their keys, and how long they have to last, in minutes. */
const wanted = (source: string, row: Row): [key: string, length: number][] => [
  ...(row.isOff ? ([[`${source}-off_${row.id}@${row.spell}`, row.patience]] as [string, number][]) : []),
  ...(row.isHot ? ([[`${source}-hot_${row.id}`, 20]] as [string, number][]) : []),
];

function* eventsOf(source: string, row: Row) {
  const until = untilOf(row);
  const { id, spell, patience } = row;
  if (row.isOff) yield sparkEvent(`${source}-off`, id, {}, { trueFor: patience * MINUTE, occurrence: spell, until });
  if (row.isHot) yield sparkEvent(`${source}-hot`, id, {}, { trueFor: '20m', until });
}

@Injectable()
class Sources {
  @EventSource(Sensor, { name: 'own', trueFor: true })
  *own(sensor: Sensor) {
    yield* eventsOf('own', sensor);
  }

  @EventSource(Sensor, { name: 'batch', trueFor: true, batch: true })
  async batch(sensors: Sensor[]) {
    return sensors.flatMap((sensor) => [...eventsOf('batch', sensor)]);
  }
}

let calls: string[] = [];

@Injectable()
class Handlers {
  @GroupHandler(/./, { name: 'all' })
  handle({ key, at }: SparkEvent) {
    calls.push(`${key} ${at!.toISOString()}`);
  }
}

/** What is known of one row by now. All that is seen of it is seen by rechecks and sweeps. */
class Model {
  row: Row | undefined;
  /** The events that have happened, with their dates. */
  readonly ledger = new Map<string, number>();
  /** Since when events were yielded without a break, by key. */
  private readonly since = new Map<string, number>();
  private dates = new Set<number>();

  saved(row: Row, now: number): void {
    this.row = row;
    this.dates.add(now);
  }

  drained(now: number): void {
    if (this.due(now) === undefined) return;
    for (const date of this.dates) if (date <= now) this.dates.delete(date);
    this.swept(now);
  }

  swept(now: number): void {
    const isOver = this.row?.stop != null && Number(this.row.stop) <= now;
    const events = this.row && !isOver ? ['own', 'batch'].flatMap((source) => wanted(source, this.row!)) : [];
    for (const key of this.since.keys()) if (!events.some(([other]) => other === key)) this.since.delete(key);
    for (const [key, length] of events) {
      if (!this.since.has(key)) this.since.set(key, now);
      const due = this.since.get(key)! + length * MINUTE;
      if (due > now) this.dates.add(due);
      else if (!this.ledger.has(key)) this.ledger.set(key, due);
    }
  }

  /** Time passes, and nothing is down. */
  passed(now: number, end: number): void {
    this.drained(now);
    for (let due = this.due(end); due !== undefined; due = this.due(end)) this.drained(due);
  }

  lasting(): string[] {
    return [...this.since].map(([key, since]) => `${key} ${new Date(since).toISOString()}`);
  }

  /** The first instant up to another one at which it is rechecked. */
  private due(end: number): number | undefined {
    const dates = [...this.dates].filter((date) => date <= end);
    return dates.length === 0 ? undefined : Math.min(...dates);
  }
}

const IDS = [1, 2];

type Step =
  | ({ kind: 'save' | 'criteria' | 'raw'; stop: number | null } & Omit<Row, 'stop'>)
  | { kind: 'wait' | 'pass' | 'plan'; minutes: number }
  | { kind: 'drain' | 'sweep' | 'restart' };

const written = fc.record({
  kind: fc.constantFrom('save', 'save', 'save', 'criteria', 'raw'),
  id: fc.constantFrom(...IDS),
  isOff: fc.boolean(),
  isHot: fc.boolean(),
  spell: fc.integer({ min: 0, max: 2 }),
  patience: fc.constantFrom(5, 15, 15, 40),
  stop: fc.option(fc.integer({ min: -5, max: 60 }), { freq: 1 }),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: written },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom('wait', 'pass', 'pass', 'plan'),
      minutes: fc.integer({ min: 1, max: 30 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('drain', 'drain', 'sweep', 'restart') }) },
);
const HISTORIES = rounds(15, 60);

describe.each(databases)('what lasts does as its model says, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let kit: SparkTestKit;
  const clock = new TestClock('2026-03-01T00:00:00Z');

  const start = async () => {
    app = await startApp({ database: db, entities: [Sensor], providers: [Sources, Handlers], clock });
    kit = new SparkTestKit(app.app);
  };
  beforeAll(async () => {
    db = await database.create();
    await start();
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const write = async (how: 'save' | 'criteria' | 'raw', row: Row): Promise<void> => {
    const { id, ...rest } = row;
    const { manager } = app.dataSource;
    if (how === 'save') return void (await manager.save(Object.assign(new Sensor(), row)));
    if (how === 'criteria') return void (await manager.update(Sensor, id, rest));
    const { driver } = app.dataSource;
    const text = (value: boolean | number | string | null) => {
      if (value === null) return 'NULL';
      if (typeof value === 'boolean' && db.options.type !== 'postgres') return value ? '1' : '0';
      return typeof value === 'string' ? `'${value}'` : `${value}`;
    };
    const set = Object.entries(rest).map(([name, value]) => `${driver.escape(name)} = ${text(value)}`);
    await app.dataSource.query(`UPDATE sensor SET ${set.join(', ')} WHERE id = ${id}`);
  };

  /** Does one step, and the same to the models. */
  const take = async (models: Map<number, Model>, one: Step): Promise<void> => {
    const now = clock.now();
    const all = [...models.values()];
    if ('spell' in one) {
      const { kind, stop, ...rest } = one;
      const row = { ...rest, stop: stop === null ? null : String(now + stop * MINUTE) };
      const model = models.get(row.id)!;
      const isSame = JSON.stringify(model.row) === JSON.stringify(row);
      // Where there is no row yet, there is nothing to update.
      if (kind !== 'save' && !model.row) return;
      await write(kind, row);
      if (kind === 'raw') model.row = row;
      else if (kind === 'criteria' || !isSame) model.saved(row, now);
    } else if (one.kind === 'drain') {
      await kit.drain();
      for (const model of all) model.drained(now);
    } else if (one.kind === 'sweep') {
      await app.spark.sweep();
      for (const model of all) model.swept(now);
      // A sweep leaves rechecks to what it has seen begin or end.
      await kit.drain();
      for (const model of all) model.drained(now);
    } else if (one.kind === 'restart') {
      await app.close();
      await start();
    } else if (one.kind === 'wait') clock.set(now + one.minutes * MINUTE);
    else if ('minutes' in one) await pass(all, now + one.minutes * MINUTE, one.kind === 'plan');
  };

  /** Lets time pass. If all that is true by now is known, the plan says what will be. */
  const pass = async (models: readonly Model[], end: number, isPlanned: boolean): Promise<void> => {
    const now = clock.now();
    if (isPlanned) await take(new Map(models.entries()), { kind: 'sweep' });
    const planned: string[] = [];
    for await (const one of app.spark.plan({ at: new Date(end) })) if (one.outcome === 'enter') planned.push(one.key);
    const before = new Set(await kit.events());
    await kit.advanceTo(new Date(end));
    for (const model of models) model.passed(now, end);
    const entered = (await kit.events()).filter((key) => !before.has(key));
    if (isPlanned) expect(planned.sort()).toEqual(entered.sort());
  };

  /** What has happened, and what lasts and has been seen to. */
  const state = async () => {
    const rows: { event_key: string; since: string }[] = await app.dataSource.query(
      'SELECT event_key, since FROM spark_condition',
    );
    const { records } = await app.spark.events();
    return {
      events: records.map(({ key, at }) => `${key} ${at!.toISOString()}`).sort(),
      lasting: rows.map(({ event_key: key, since }) => `${key} ${new Date(Number(since)).toISOString()}`).sort(),
    };
  };

  it('whatever is saved, stopped, begun again, swept, missed and planned, and in which order', async () => {
    const seen = new Map<string, number>();
    const property = fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25, size: 'max' }), async (history) => {
      for (const table of ['delivery', 'event', 'recheck', 'group', 'condition'])
        await app.dataSource.query(`DELETE FROM spark_${table}`);
      await app.dataSource.query('DELETE FROM sensor');
      calls = [];
      clock.set(clock.now() + 100 * HOUR);
      const models = new Map(IDS.map((id) => [id, new Model()]));
      for (const one of history) {
        await take(models, one);
        const all = [...models.values()];
        const happened = all.flatMap(({ ledger }) => [...ledger]);
        const model = {
          events: happened.map(([key, at]) => `${key} ${new Date(at).toISOString()}`).sort(),
          lasting: all.flatMap((own) => own.lasting()).sort(),
        };
        // The step is part of it, so that a failure shows which one it was.
        const after = { one, now: clock.date };
        expect({ ...after, ...(await state()) }).toEqual({ ...after, ...model });
        for (const [key] of happened) seen.set(key.split('_')[0]!, 1);
        seen.set(one.kind, 1);
      }
      await kit.drain();
      // Each is handled once, unless its until had passed before.
      const completed = (await kit.deliveries()).filter((delivery) => delivery.state === 'completed');
      expect(calls.map((call) => call.split(' ')[0]).sort()).toEqual(completed.map(({ key }) => key).sort());
    });
    await fc.assert(property, { numRuns: HISTORIES });
    const kinds = ['save', 'criteria', 'raw', 'wait', 'pass', 'plan', 'drain', 'sweep', 'restart'];
    expect([...seen.keys()].sort()).toEqual([...kinds, 'own-off', 'own-hot', 'batch-off', 'batch-hot'].sort());
  }, 900_000);
});

/** It waits for a moment, so that much happens between its read of an entity and what is written of it. */
@Injectable()
class Slow {
  @EventSource(Sensor, { name: 'slow', trueFor: true })
  async events({ id, isOff }: Sensor) {
    await delay(Math.random() * 10);
    return isOff ? [sparkEvent('off', id, {}, { trueFor: '1h' })] : [];
  }
}

const ROUNDS = rounds(8, 40);

describe.each(databases)('no condition lasts longer than it has held, on $name', (database) => {
  let db: TestDatabase;
  let apps: TestApp[];
  beforeAll(async () => {
    db = await database.create();
    apps = [];
    for (let i = 0; i < 2; i++) apps.push(await startApp({ database: db, entities: [Sensor], providers: [Slow] }));
  });
  afterAll(async () => {
    for (const app of apps) await app.close();
    await db.drop();
  });

  it('whatever two processes save, recheck and sweep at the same time', async () => {
    const query = (sql: string): Promise<Record<string, string>[]> => apps[0]!.dataSource.query(sql);
    const sinceOf = async (id: number) => {
      const [row] = await query(`SELECT since FROM spark_condition WHERE entity_id = '${id}' AND since IS NOT NULL`);
      return row && Number(row.since);
    };
    const settled = (id: number) =>
      vi.waitFor(async () => {
        const due = `SELECT id FROM spark_recheck WHERE entity_id = '${id}' AND due_at <= ${Date.now()}`;
        expect(await query(due)).toEqual([]);
      }, 30_000);
    const ending = new AbortController();
    const sweeping = apps.map(async ({ spark }) => {
      while (!ending.signal.aborted) await spark.sweep();
    });
    const one = async (id: number) => {
      const save = (isOff: boolean) => {
        const row = { id, isOff, isHot: false, spell: 0, patience: 5, stop: null };
        return apps[Math.random() < 0.5 ? 0 : 1]!.dataSource.manager.save(Sensor, row);
      };
      for (let round = 0; round < ROUNDS; round++) {
        await save(true);
        await delay(Math.random() * 30);
        await save(false);
        await settled(id);
        expect(await sinceOf(id)).toBeUndefined();
        const then = Date.now();
        await save(true);
        const since = await vi.waitFor(async () => {
          const found = await sinceOf(id);
          expect(found).toBeDefined();
          return found;
        }, 30_000);
        expect(since).toBeGreaterThanOrEqual(then);
      }
      await settled(id);
      expect(await sinceOf(id)).toBeDefined();
    };
    await Promise.all([1, 2, 3, 4].map(one)).finally(() => ending.abort());
    await Promise.all(sweeping);
  }, 900_000);
});
