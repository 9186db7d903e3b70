import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import fc from 'fast-check';
import { EventSource, sparkEvent } from 'nestjs-spark';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { anyStep, Histories, KINDS, type Step } from './support/mortal-histories.js';
import { histories, inStress, rounds } from './support/rounds.js';
import { HOUR, MINUTE } from './support/set-clock.js';
import { iso, type Seen, textOf, type World, type Write } from './support/worlds.js';

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

/** What is known of one row. All that is seen of it is seen by rechecks and sweeps. */
class SensorWorld implements World {
  constructor(
    private readonly id: number,
    private readonly row?: Row,
    /** The instants of the events that have happened, by key. */
    private readonly ledger: Readonly<Record<string, number>> = {},
    /** Since when events were yielded without a break, by key; null if that is not sure yet. */
    private readonly since: Readonly<Record<string, number | null>> = {},
    /** When it is rechecked. */
    private readonly dates: readonly number[] = [],
  ) {}

  get seen(): Seen {
    return {
      row: this.row,
      events: Object.entries(this.ledger).map(([key, at]) => `${key} ${iso(at)}`),
      lasting: Object.entries(this.since).map(([key, at]) => `${key} ${at === null ? 'not sure' : iso(at)}`),
    };
  }

  written(how: Write, row: Row | undefined, now: number): World {
    // TypeORM writes nothing where nothing differs.
    if (how === 'save' && this.row && textOf({ ...this.seen, row }) === textOf(this.seen)) return this;
    const dates = how === 'raw' || how === 'remove' ? this.dates : [...this.dates, now];
    return new SensorWorld(this.id, row, this.ledger, this.since, sorted(dates));
  }

  /** One recheck may lead to another one at the same instant. */
  drained(now: number): World[] {
    if (this.due(now) === undefined) return [this];
    const left = this.dates.filter((date) => date > now);
    const next = new SensorWorld(this.id, this.row, this.ledger, this.since, left).told('own', now).told('batch', now);
    return [this, ...next.drained(now)];
  }

  /** A sweep that goes on where a dead process was, and then sweeps once more, runs a source twice. */
  swept(now: number) {
    const none = [this];
    const own = [this.told('own', now), this.told('own', now).told('own', now)];
    const batch = own.flatMap((world) => [world.told('batch', now), world.told('batch', now).told('batch', now)]);
    return { during: [...none, ...own], ends: batch };
  }

  due(end: number): number | undefined {
    const [first] = this.dates;
    return first !== undefined && first <= end ? first : undefined;
  }

  /** After a source has run. */
  private told(source: string, now: number): SensorWorld {
    const { row } = this;
    const until = row && untilOf(row) ? untilOf(row)!.getTime() : Infinity;
    const events = row && until > now ? wanted(source, row) : [];
    const [ledger, since, dates] = [{ ...this.ledger }, { ...this.since }, [...this.dates]];
    for (const key of Object.keys(since))
      if (key.startsWith(source) && !events.some(([other]) => other === key)) {
        delete since[key];
        dates.push(now);
      }
    for (const [key, minutes] of events) {
      const [begin, length] = [since[key], minutes * MINUTE];
      if (begin === undefined) {
        since[key] = null;
        dates.push(now);
      } else if (begin === null) {
        since[key] = now;
        dates.push(now + length);
      } else if (begin + length >= until) continue;
      else if (begin + length > now) dates.push(begin + length);
      else ledger[key] ??= begin + length;
    }
    return new SensorWorld(this.id, row, ledger, since, sorted(dates));
  }
}

const sorted = (dates: readonly number[]): number[] => [...new Set(dates)].sort((a, b) => a - b);

/** A row, whose end is in minutes after the instant at which it is written. */
type What = Omit<Row, 'id' | 'stop'> & { readonly stop: number | null };

const rowOf = (id: number, { stop, ...rest }: What, _: number, now: number): Row => ({
  id,
  ...rest,
  stop: stop === null ? null : String(now + stop * MINUTE),
});

const what: fc.Arbitrary<What> = fc.record({
  isOff: fc.boolean(),
  isHot: fc.boolean(),
  spell: fc.integer({ min: 0, max: 2 }),
  patience: fc.constantFrom(5, 15, 15, 40),
  stop: fc.option(fc.integer({ min: -5, max: 60 }), { freq: 1 }),
});
const step = anyStep(
  what,
  fc.integer({ min: 1, max: 30 }).map((minutes) => minutes * MINUTE),
);
const history = fc.array(step, { minLength: 5, maxLength: 25, size: 'max' });

const BOTH: What = { isOff: true, isHot: true, spell: 0, patience: 15, stop: null };
const NEITHER: What = { ...BOTH, isOff: false, isHot: false };
const kill = (by: number, after: number): Step<What> => ({ kind: 'kill', by, after, isAnswerLost: false });
/** The first history: each kind of step, and a death in most of them. */
const EVERYTHING: Step<What>[] = [
  { kind: 'save', by: 0, id: 1, what: BOTH },
  kill(0, 7),
  { kind: 'drain', by: 0 },
  { kind: 'drain', by: 1 },
  { kind: 'pass', by: 1, ms: 10 * MINUTE },
  kill(0, 2),
  { kind: 'save', by: 0, id: 1, what: NEITHER },
  { kind: 'raw', by: 0, id: 1, what: NEITHER },
  kill(0, 9),
  { kind: 'sweep', by: 0 },
  { kind: 'plan', by: 0, ms: 5 * MINUTE },
  { kind: 'criteria', by: 0, id: 1, what: BOTH },
  { kind: 'pass', by: 0, ms: 10 * MINUTE },
  { kind: 'wait', by: 0, ms: 7 * MINUTE },
  { kind: 'restart', by: 1 },
  kill(1, 20),
  { kind: 'pass', by: 1, ms: 10 * MINUTE },
  { kind: 'remove', by: 1, id: 1 },
];
const DEATHS = ['save', 'drain', 'sweep', 'pass'].map((kind) => `died in ${kind}`);

const HISTORIES = rounds(6, 60);
/** At every so manieth statement a process dies. */
const STRIDE = inStress(12, 4);

describe.each(databases)('what lasts does as its model says, on $name', (database) => {
  let db: TestDatabase;
  let played: Histories<What>;
  const begin = Date.parse('2026-03-01');

  beforeAll(async () => {
    db = await database.create();
    const world = (id: number) => new SensorWorld(id);
    played = new Histories(db, { entity: Sensor, sources: Sources, world, row: rowOf, end: 2 * HOUR });
    await played.open();
  });
  afterAll(async () => {
    await played.close();
    await db.drop();
  });

  it('whatever is saved, stopped, begun again, swept, missed and planned, in which order, and whatever is killed', async () => {
    const property = fc.asyncProperty(history, (steps) => played.play(begin, steps));
    await fc.assert(property, { ...histories(HISTORIES), examples: [[EVERYTHING]] });
    expect([...KINDS, ...DEATHS].filter((one) => !played.tally.has(one))).toEqual([]);
  }, 900_000);

  it('whichever statement a process dies at', async () => {
    const deaths = await played.playAll(
      begin,
      [
        { kind: 'save', by: 0, id: 1, what: BOTH },
        { kind: 'drain', by: 0 },
        { kind: 'pass', by: 0, ms: 16 * MINUTE },
        { kind: 'criteria', by: 0, id: 1, what: { ...BOTH, spell: 1 } },
        { kind: 'drain', by: 0 },
        { kind: 'raw', by: 1, id: 1, what: NEITHER },
        { kind: 'sweep', by: 0 },
        { kind: 'pass', by: 0, ms: 30 * MINUTE },
      ],
      STRIDE,
    );
    expect(deaths).toBeGreaterThan(100 / STRIDE);
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

const ROUNDS = rounds(4, 40);

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
