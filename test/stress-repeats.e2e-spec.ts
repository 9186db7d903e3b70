import { Injectable } from '@nestjs/common';
import fc from 'fast-check';
import { EventSource, sparkEvent, type SparkEventOptions } from 'nestjs-spark';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databases, type TestDatabase } from './support/databases.js';
import { CHANGES, instantsOf } from './support/local-times.js';
import { anyStep, Histories, KINDS, type Step } from './support/mortal-histories.js';
import { histories, inStress, rounds } from './support/rounds.js';
import { DAY, HOUR } from './support/set-clock.js';
import { iso, type Seen, textOf, type World, type Write } from './support/worlds.js';

/** What a row says. Instants are epoch ms, as text. */
@Entity()
class Habit {
  @PrimaryColumn() id: number;
  @Column() active: boolean;
  @Column({ type: 'varchar', length: 20, nullable: true }) begin: string | null;
  @Column({ type: 'varchar', length: 20, nullable: true }) stop: string | null;
  @Column({ type: 'varchar', length: 20 }) rhythm: string;
  @Column({ type: 'varchar', length: 40 }) zone: string;
}

type Row = Readonly<Habit>;

interface Rhythm {
  readonly every: string | number;
  /** Whether its times are those of the row's zone. */
  readonly isLocal: boolean;
  /** Its instants from its first one on, or those of the zone from an instant on, up to another one. */
  instants(begin: number, end: number, zone: string): number[];
}

/** How rows can repeat, in the words of Spark and as all instants of a time. */
const RHYTHMS: Record<string, Rhythm> = {
  weekly: { every: '7d', isLocal: false, instants: (begin, end) => steps(begin, end, 7 * DAY) },
  often: { every: 5.5 * HOUR, isLocal: false, instants: (begin, end) => steps(begin, end, 5.5 * HOUR) },
  fridays: {
    every: '0 9 * * MON,FRI',
    isLocal: true,
    instants: (begin, end, zone) => instantsOf(zone, [9], begin, end, (weekday) => weekday === 1 || weekday === 5),
  },
  nightly: {
    every: '30 0,2 * * *',
    isLocal: true,
    instants: (begin, end, zone) => instantsOf(zone, [0.5, 2.5], begin, end),
  },
  quarters: {
    every: '0 */6 * * *',
    isLocal: true,
    instants: (begin, end, zone) => instantsOf(zone, [0, 6, 12, 18], begin, end),
  },
};

function steps(begin: number, end: number, length: number): number[] {
  const instants: number[] = [];
  for (let instant = begin; instant < end; instant += length) instants.push(instant);
  return instants;
}

const numberOf = (text: string | null) => (text === null ? null : Number(text));
const dateOf = (text: string | null) => (text === null ? null : new Date(Number(text)));

function eventOf(group: string, { id, begin, stop, rhythm, zone }: Row, catchUp: 'latest' | 'all') {
  const { every, isLocal } = RHYTHMS[rhythm]!;
  const options: SparkEventOptions = { every, from: dateOf(begin), until: dateOf(stop), catchUp };
  return sparkEvent(group, id, {}, isLocal ? { ...options, timeZone: zone } : options);
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

const OWN = ['own', 'all'];
const ALL = [...OWN, 'batch'];

/** What is known of one row. */
class HabitWorld implements World {
  constructor(
    private readonly id: number,
    private readonly row?: Row,
    private readonly ledger: readonly string[] = [],
    /** When it is rechecked. */
    private readonly dates: readonly number[] = [],
  ) {}

  get seen(): Seen {
    return { row: this.row, events: this.ledger, lasting: [] };
  }

  /** A save runs its own source at once, for the latest instants. The recheck after it runs both, for all that were missed. */
  written(how: Write, row: Row | undefined, now: number): World {
    // TypeORM writes nothing where nothing differs.
    if (how === 'save' && this.row && textOf({ ...this.seen, row }) === textOf(this.seen)) return this;
    const written = this.with(row, this.ledger, this.dates);
    if (how === 'raw' || how === 'remove') return written;
    const captured = how === 'save' ? written.derived(OWN, now, 1) : written;
    return captured.with(row, captured.ledger, [...captured.dates, now]);
  }

  drained(now: number): World[] {
    if (this.due(now) === undefined) return [this];
    const left = this.dates.filter((date) => date > now);
    return [this, this.with(this.row, this.ledger, left).derived(ALL, now)];
  }

  swept(now: number) {
    return {
      during: [this, this.derived(OWN, now), this.derived(['batch'], now)],
      ends: [this.derived(ALL, now)],
    };
  }

  due(end: number): number | undefined {
    const [first] = this.dates;
    return first !== undefined && first <= end ? first : undefined;
  }

  /** After its sources have run, for the latest instants of those that catch up. */
  private derived(groups: readonly string[], now: number, most = 1_000): HabitWorld {
    const begin = this.row?.active ? numberOf(this.row.begin) : null;
    const stop = numberOf(this.row?.stop ?? null) ?? Infinity;
    if (begin === null || stop <= now || stop <= begin) return this;
    const { rhythm, zone } = this.row!;
    // The next one is not far away.
    const end = Math.max(now, begin) + 9 * DAY;
    const instants = RHYTHMS[rhythm]!.instants(begin, end, zone).filter((one) => one < stop);
    const past = instants.filter((instant) => instant <= now);
    const keys = groups.flatMap((group) =>
      past.slice(group === 'all' ? -most : -1).map((one) => `${group}_${this.id}@${iso(one)} ${iso(one)}`),
    );
    const next = instants.find((instant) => instant > now);
    return this.with(this.row, [...this.ledger, ...keys], next === undefined ? this.dates : [...this.dates, next]);
  }

  private with(row: Row | undefined, ledger: readonly string[], dates: readonly number[]): HabitWorld {
    const sorted = [...new Set(dates)].sort((a, b) => a - b);
    return new HabitWorld(this.id, row, [...new Set(ledger)].sort(), sorted);
  }
}

/** A row, by hours after the begin of the history. */
interface What {
  readonly active: boolean;
  readonly begin: number | null;
  readonly stop: number | null;
  readonly rhythm: string;
  readonly zone: string;
}

const rowOf = (id: number, { begin, stop, ...rest }: What, epoch: number): Row => {
  const text = (hours: number | null) => (hours === null ? null : String(epoch + hours * HOUR));
  return { id, ...rest, begin: text(begin), stop: text(stop) };
};

const HERE = 'here';
const hours = (min: number, max: number) => fc.integer({ min: min * 2, max: max * 2 }).map((half) => half / 2);
const what: fc.Arbitrary<What> = fc.record({
  active: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
  begin: fc.option(hours(-30 * 24, 10 * 24), { freq: 8 }),
  stop: fc.option(hours(-5 * 24, 40 * 24), { freq: 2 }),
  rhythm: fc.constantFrom(...Object.keys(RHYTHMS)),
  zone: fc.constantFrom(HERE, HERE, HERE, 'UTC', 'Asia/Kolkata'),
});
const step = anyStep(
  what,
  fc.oneof(hours(0.5, 48), hours(0.5, 20 * 24)).map((length) => length * HOUR),
);

interface History {
  readonly begin: string;
  readonly steps: readonly Step<What>[];
}

/** Around a change of clocks, seen from there. */
const history: fc.Arbitrary<History> = fc
  .record({ change: fc.constantFrom(...CHANGES), steps: fc.array(step, { minLength: 5, maxLength: 25, size: 'max' }) })
  .map(({ change: { zone, begin }, steps: all }) => {
    const isHere = (one: Step<What>) => 'what' in one && one.what.zone === HERE;
    return { begin, steps: all.map((one) => (isHere(one) ? seenFrom(zone, one as Saving) : one)) };
  });
type Saving = Extract<Step<What>, { what: What }>;
const seenFrom = (zone: string, one: Saving): Saving => ({ ...one, what: { ...one.what, zone } });

const APIA: What = { active: true, begin: -40, stop: null, rhythm: 'quarters', zone: 'Pacific/Apia' };
const kill = (by: number, after: number): Step<What> => ({ kind: 'kill', by, after, isAnswerLost: false });
/** The first history: each kind of step, and a death in most of them. */
const EVERYTHING: History = {
  begin: '2011-12-28',
  steps: [
    { kind: 'save', by: 0, id: 1, what: APIA },
    { kind: 'pass', by: 0, ms: 3 * DAY },
    kill(0, 2),
    { kind: 'save', by: 0, id: 1, what: { ...APIA, rhythm: 'nightly' } },
    { kind: 'save', by: 0, id: 2, what: { ...APIA, rhythm: 'often', stop: 400 } },
    kill(0, 7),
    { kind: 'drain', by: 0 },
    { kind: 'drain', by: 1 },
    { kind: 'raw', by: 1, id: 1, what: { ...APIA, begin: -50 } },
    kill(1, 9),
    { kind: 'sweep', by: 1 },
    { kind: 'plan', by: 0, ms: DAY },
    { kind: 'criteria', by: 0, id: 1, what: { ...APIA, rhythm: 'often' } },
    { kind: 'wait', by: 0, ms: 2 * DAY },
    { kind: 'restart', by: 0 },
    kill(0, 20),
    { kind: 'pass', by: 0, ms: 2 * DAY },
    { kind: 'remove', by: 1, id: 2 },
  ],
};
const DEATHS = ['save', 'drain', 'sweep', 'pass'].map((kind) => `died in ${kind}`);

const HISTORIES = rounds(6, 60);
/** At every so manieth statement a process dies. */
const STRIDE = inStress(12, 4);

describe.each(databases)('what repeats does as its model says, on $name', (database) => {
  let db: TestDatabase;
  let played: Histories<What>;

  beforeAll(async () => {
    db = await database.create();
    const world = (id: number) => new HabitWorld(id);
    played = new Histories(db, { entity: Habit, sources: Sources, world, row: rowOf, end: 2 * DAY });
    await played.open();
  });
  afterAll(async () => {
    await played.close();
    await db.drop();
  });

  const play = ({ begin, steps: all }: History) => played.play(Date.parse(begin), all);

  it('whatever is saved, moved, stopped, swept, missed and planned, in which order, and whatever is killed', async () => {
    await fc.assert(fc.asyncProperty(history, play), { ...histories(HISTORIES), examples: [[EVERYTHING]] });
    expect([...KINDS, ...DEATHS].filter((one) => !played.tally.has(one))).toEqual([]);
  }, 900_000);

  it('whichever statement a process dies at', async () => {
    const moved = { ...APIA, rhythm: 'nightly', begin: -100 };
    const deaths = await played.playAll(
      Date.parse('2011-12-29'),
      [
        { kind: 'save', by: 0, id: 1, what: APIA },
        { kind: 'drain', by: 0 },
        { kind: 'pass', by: 0, ms: 8 * HOUR },
        { kind: 'criteria', by: 0, id: 1, what: moved },
        { kind: 'drain', by: 0 },
        { kind: 'raw', by: 1, id: 1, what: APIA },
        { kind: 'sweep', by: 0 },
        { kind: 'pass', by: 1, ms: 8 * HOUR },
      ],
      STRIDE,
    );
    expect(deaths).toBeGreaterThan(100 / STRIDE);
  }, 900_000);
});
