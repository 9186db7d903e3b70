import { Injectable } from '@nestjs/common';
import fc from 'fast-check';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent, type SparkEventOptions } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { rounds } from './support/rounds.js';
import { DAY, HOUR } from './support/set-clock.js';

/** What a row says. Instants are epoch ms, as text. */
@Entity()
class Habit {
  @PrimaryColumn() id: number;
  @Column() active: boolean;
  @Column({ type: 'varchar', length: 20, nullable: true }) begin: string | null;
  @Column({ type: 'varchar', length: 20, nullable: true }) stop: string | null;
  @Column({ type: 'varchar', length: 20 }) rhythm: string;
}

type Row = Readonly<Habit>;

const MINUTE = HOUR / 60;
/** The last Sunday of March or October, at one o'clock UTC, since when clocks in Berlin show another time. */
const changeIn = (year: number, month: '03' | '10') => {
  const last = new Date(`${year}-${month}-31T01:00:00Z`);
  return last.getTime() - last.getUTCDay() * DAY;
};
const isSummer = (instant: number) => {
  const year = new Date(instant).getUTCFullYear();
  return instant >= changeIn(year, '03') && instant < changeIn(year, '10');
};

/** The instant of half past two in Berlin on a day: in summer if there is one, in winter if not, or when it becomes summer. */
function halfPastTwo(day: number): number {
  const [early, late] = [day + 30 * MINUTE, day + 90 * MINUTE];
  if (isSummer(early)) return early;
  return isSummer(late) ? changeIn(new Date(day).getUTCFullYear(), '03') : late;
}

/** How rows can repeat, in the words of Spark and as all instants of a time. */
const RHYTHMS: Record<string, { options: SparkEventOptions; instants(begin: number, end: number): number[] }> = {
  weekly: { options: { every: '7d' }, instants: (begin, end) => steps(begin, end, 7 * DAY) },
  often: { options: { every: 5.5 * HOUR }, instants: (begin, end) => steps(begin, end, 5.5 * HOUR) },
  mondays: {
    options: { every: '0 9 * * MON' },
    // The epoch began with a Thursday.
    instants: (begin, end) => steps(4 * DAY + 9 * HOUR, end, 7 * DAY).filter((instant) => instant >= begin),
  },
  nightly: {
    options: { every: '30 2 * * *', timeZone: 'Europe/Berlin' },
    instants: (begin, end) =>
      steps(Math.floor(begin / DAY) * DAY - DAY, end + DAY, DAY)
        .map(halfPastTwo)
        .filter((instant) => instant >= begin && instant < end),
  },
};

function steps(begin: number, end: number, length: number): number[] {
  const instants: number[] = [];
  for (let instant = begin; instant < end; instant += length) instants.push(instant);
  return instants;
}

const numberOf = (text: string | null) => (text === null ? null : Number(text));
const dateOf = (text: string | null) => (text === null ? null : new Date(Number(text)));

function eventOf(group: string, { id, begin, stop, rhythm }: Row, catchUp: 'latest' | 'all') {
  const { options } = RHYTHMS[rhythm]!;
  return sparkEvent(group, id, {}, { ...options, from: dateOf(begin), until: dateOf(stop), catchUp });
}

@Injectable()
class Sources {
  @EventSource(Habit, { name: 'own' })
  *own(habit: Habit) {
    if (!habit.active) return;
    yield eventOf('own', habit, 'latest');
    yield eventOf('all', habit, 'all');
  }

  @EventSource(Habit, { name: 'batch', batch: true })
  async batch(habits: Habit[]) {
    return habits.filter(({ active }) => active).map((habit) => eventOf('batch', habit, 'latest'));
  }
}

let calls: string[] = [];

@Injectable()
class Handlers {
  @GroupHandler(/./, { name: 'all' })
  handle({ key }: SparkEvent) {
    calls.push(key);
  }
}

/** What is known of one row by now. */
class Model {
  row: Row | undefined;
  readonly ledger = new Set<string>();
  private dates = new Set<number>();

  constructor(private readonly id: number) {}

  /** A save runs its own source at once, for the latest instants. The next drain runs both, for all that were missed. */
  saved(row: Row, now: number): void {
    this.row = row;
    this.derive(['own', 'all'], now, 1);
    this.dates.add(now);
  }

  updated(row: Row, now: number): void {
    this.row = row;
    this.dates.add(now);
  }

  drained(now: number): void {
    if (this.due(now) === undefined) return;
    for (const date of this.dates) if (date <= now) this.dates.delete(date);
    this.derive(['own', 'all', 'batch'], now);
  }

  swept(now: number): void {
    this.derive(['own', 'all', 'batch'], now);
  }

  /** Time passes, and nothing is down. */
  passed(now: number, end: number): void {
    this.drained(now);
    for (let due = this.due(end); due !== undefined; due = this.due(end)) this.drained(due);
  }

  /** The first instant up to another one at which it is rechecked. */
  private due(end: number): number | undefined {
    const dates = [...this.dates].filter((date) => date <= end);
    return dates.length === 0 ? undefined : Math.min(...dates);
  }

  private derive(groups: readonly string[], now: number, most = 1_000): void {
    const begin = this.row?.active ? numberOf(this.row.begin) : null;
    const stop = numberOf(this.row?.stop ?? null) ?? Infinity;
    if (begin === null || stop <= now || stop <= begin) return;
    // The next one is not far away.
    const instants = RHYTHMS[this.row!.rhythm]!.instants(begin, Math.max(now, begin) + 9 * DAY).filter(
      (one) => one < stop,
    );
    const past = instants.filter((instant) => instant <= now);
    for (const group of groups)
      for (const instant of past.slice(group === 'all' ? -most : -1))
        this.ledger.add(`${group}_${this.id}@${new Date(instant).toISOString()}`);
    const next = instants.find((instant) => instant > now);
    if (next !== undefined) this.dates.add(next);
  }
}

const IDS = [1, 2];

type Step =
  | {
      kind: 'save' | 'criteria' | 'raw';
      id: number;
      active: boolean;
      begin: number | null;
      stop: number | null;
      rhythm: string;
    }
  | { kind: 'wait' | 'pass' | 'plan'; hours: number }
  | { kind: 'drain' | 'sweep' | 'restart' };

const hours = (min: number, max: number) => fc.integer({ min: min * 2, max: max * 2 }).map((half) => half / 2);
const written = fc.record({
  kind: fc.constantFrom('save', 'save', 'save', 'criteria', 'raw'),
  id: fc.constantFrom(...IDS),
  active: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
  begin: fc.option(hours(-30 * 24, 10 * 24), { freq: 8 }),
  stop: fc.option(hours(-5 * 24, 40 * 24), { freq: 2 }),
  rhythm: fc.constantFrom(...Object.keys(RHYTHMS)),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: written },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('wait', 'pass', 'plan'), hours: hours(0.5, 20 * 24) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('drain', 'sweep', 'restart') }) },
);
const HISTORIES = rounds(15, 60);

describe.each(databases)('what repeats does as its model says, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let kit: SparkTestKit;
  const clock = new TestClock('2026-03-01T00:00:00Z');

  const start = async () => {
    app = await startApp({ database: db, entities: [Habit], providers: [Sources, Handlers], clock });
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
    if (how === 'save') return void (await app.dataSource.manager.save(Object.assign(new Habit(), row)));
    if (how === 'criteria') return void (await app.dataSource.manager.update(Habit, id, rest));
    const active = db.options.type === 'postgres' ? row.active : Number(row.active);
    const text = (value: string | null) => (value === null ? 'NULL' : `'${value}'`);
    await app.dataSource.query(
      `UPDATE habit SET active = ${active}, begin = ${text(row.begin)}, stop = ${text(row.stop)}, rhythm = '${row.rhythm}' WHERE id = ${id}`,
    );
  };

  /** Does one step, and the same to the models. */
  const take = async (models: Map<number, Model>, epoch: number, one: Step): Promise<void> => {
    const now = clock.now();
    const all = [...models.values()];
    if ('rhythm' in one) {
      const { kind, id, active, begin, stop, rhythm } = one;
      const textOf = (after: number | null) => (after === null ? null : String(epoch + after * HOUR));
      const row = { id, active, begin: textOf(begin), stop: textOf(stop), rhythm };
      const model = models.get(id)!;
      const isSame = JSON.stringify(model.row) === JSON.stringify(row);
      // Where there is no row yet, there is nothing to update.
      if (kind !== 'save' && !model.row) return;
      await write(kind, row);
      if (kind === 'criteria') model.updated(row, now);
      else if (kind === 'raw') model.row = row;
      else if (!isSame) model.saved(row, now);
    } else if (one.kind === 'drain') {
      await kit.drain();
      for (const model of all) model.drained(now);
    } else if (one.kind === 'sweep') {
      await app.spark.sweep();
      for (const model of all) model.swept(now);
    } else if (one.kind === 'restart') {
      await app.close();
      await start();
    } else if (one.kind === 'wait') clock.set(now + one.hours * HOUR);
    else if ('hours' in one) await pass(all, now + one.hours * HOUR, one.kind === 'plan');
  };

  /** Lets time pass. If all that is true by now is known, the plan says what will be. */
  const pass = async (models: readonly Model[], end: number, isPlanned: boolean): Promise<void> => {
    const now = clock.now();
    if (isPlanned) {
      await app.spark.sweep();
      await kit.drain();
      for (const model of models) model.swept(now);
      for (const model of models) model.drained(now);
    }
    const planned: string[] = [];
    for await (const one of app.spark.plan({ at: new Date(end) })) if (one.outcome === 'enter') planned.push(one.key);
    const before = new Set(await kit.events());
    await kit.advanceTo(new Date(end));
    for (const model of models) model.passed(now, end);
    const entered = (await kit.events()).filter((key) => !before.has(key));
    if (isPlanned) expect(planned.sort()).toEqual(entered.sort());
  };

  it('whatever is saved, moved, stopped, swept, missed and planned, and in which order', async () => {
    const seen = new Map<string, number>();
    const property = fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25, size: 'max' }), async (history) => {
      for (const table of ['spark_delivery', 'spark_event', 'spark_recheck', 'spark_group', 'habit'])
        await app.dataSource.query(`DELETE FROM ${table}`);
      calls = [];
      clock.set(clock.now() + 100 * HOUR);
      const epoch = clock.now();
      const models = new Map(IDS.map((id) => [id, new Model(id)]));
      for (const one of history) {
        await take(models, epoch, one);
        const ledger = [...models.values()].flatMap((model) => [...model.ledger]);
        // The step is part of it, so that a failure shows which one it was.
        const after = { epoch, one, now: clock.date };
        expect({ ...after, keys: (await kit.events()).sort() }).toEqual({ ...after, keys: ledger.sort() });
        seen.set(one.kind, (seen.get(one.kind) ?? 0) + 1);
      }
      await kit.drain();
      // Each is handled once, unless its until had passed before.
      const [completed, others] = [[] as string[], [] as string[]];
      for (const { state, key, error } of await kit.deliveries())
        if (state === 'completed') completed.push(key);
        else others.push(`${state}: ${error}`);
      expect(calls.sort()).toEqual(completed.sort());
      for (const other of others) expect(other).toMatch(/^skipped: its until, .* has passed/);
    });
    await fc.assert(property, { numRuns: HISTORIES });
    expect([...seen.keys()].sort()).toEqual(
      ['save', 'criteria', 'raw', 'wait', 'pass', 'plan', 'drain', 'sweep', 'restart'].sort(),
    );
  }, 900_000);
});
