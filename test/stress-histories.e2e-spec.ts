import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import fc from 'fast-check';
import { EventSource, GroupHandler, type SourceScope, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { TestClock } from 'nestjs-spark/testing';
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
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { databases, type TestDatabase } from './support/databases.js';
import { emptyTables } from './support/empty-tables.js';
import {
  type Challenge as Row,
  type Fact,
  Model,
  ownFacts,
  relatedFacts,
  type State,
  type Step,
  textOf,
} from './support/history.js';
import { Mortal } from './support/mortal.js';
import { histories, rounds } from './support/rounds.js';
import { HOUR } from './support/set-clock.js';

@Entity()
class Challenge {
  @PrimaryColumn() id: number;
  @Column() active: boolean;
  /** Epoch ms. */
  @Column({ type: 'varchar', length: 20 }) startsAt: string;
  @Column({ type: 'varchar', length: 20, nullable: true }) endsAt: string | null;
  @OneToMany(() => Donation, (donation) => donation.challenge) donations: Relation<Donation[]>;
}

@Entity()
class Donation {
  @PrimaryGeneratedColumn() id: number;
  @Index() @ManyToOne(() => Challenge, (challenge) => challenge.donations) challenge: Relation<Challenge>;
}

const eventOf = (id: number, { group, at, until, occurrence }: Fact) =>
  sparkEvent(group, id, undefined, {
    ...(at === undefined ? {} : { at: at === null ? null : new Date(at) }),
    until: until === undefined ? undefined : new Date(until),
    occurrence,
  });

@Injectable()
class Sources {
  @EventSource(Challenge, { name: 'own' })
  *own({ id, active, startsAt, endsAt }: Challenge, _scope: SourceScope) {
    const ends = endsAt === null ? null : Number(endsAt);
    for (const fact of ownFacts({ active, startsAt: Number(startsAt), endsAt: ends })) yield eventOf(id, fact);
  }

  // It takes its time, in which others save.
  @EventSource(Challenge, { name: 'related', relations: { donations: true } })
  async *related({ id, active, startsAt, donations: { length } }: Challenge) {
    await delay(Math.floor(Math.random() * 4));
    for (const fact of relatedFacts({ active, startsAt: Number(startsAt), donations: length })) yield eventOf(id, fact);
  }
}

const calls: string[] = [];

@Injectable()
class Handlers {
  @GroupHandler(/./, { name: 'all' })
  all({ key }: SparkEvent) {
    calls.push(key);
  }
}

const IDS = [1, 2, 3];
/** The process that sweeps. */
const SWEEPER = 0;
const START = Date.parse('2026-06-01T00:00:00Z');

const WRITES = ['save', 'criteria', 'raw', 'move', 'deactivate', 'donate', 'takeBack', 'remove'];
const VERBS = [...WRITES, 'drain', 'sweep', 'restart', 'crash', 'advance'];
/** How often each was done. */
const happened = new Map<string, number>();
const tally = (what: string) => happened.set(what, (happened.get(what) ?? 0) + 1);

/** What happens at once, each at a process of its own choice; then the clock, which they share, goes on. */
interface Moment {
  readonly steps: readonly { readonly id: number; readonly step: Step; readonly process: number }[];
  readonly drain: boolean;
  readonly sweep: boolean;
  /** Before that, a process ends, whatever it has left to do, and another one begins. */
  readonly restart: number | undefined;
  /** A process that dies meanwhile, after so many more statements. */
  readonly crash?: { readonly process: number; readonly statements: number };
  readonly hours: number;
}

const written = fc.record({
  kind: fc.constantFrom('save', 'save', 'save', 'criteria', 'raw'),
  active: fc.boolean(),
  endsAt: fc.option(fc.integer({ min: -1, max: 12 }).map((n) => START + n * 8 * HOUR)),
});
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: written },
  { weight: 4, arbitrary: fc.constant({ kind: 'donate' } as const) },
  { weight: 1, arbitrary: fc.constantFrom({ kind: 'takeBack' } as const, { kind: 'remove' } as const) },
);
const moment: fc.Arbitrary<Moment> = fc.record({
  steps: fc.array(fc.record({ id: fc.constantFrom(...IDS), step: anyStep, process: fc.integer({ min: 0, max: 1 }) }), {
    maxLength: 4,
  }),
  drain: fc.boolean(),
  sweep: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
  restart: fc.integer({ min: 0, max: 12 }).map((n) => (n < 2 ? n : undefined)),
  crash: fc
    .record({ process: fc.integer({ min: 0, max: 13 }), statements: fc.integer({ min: 0, max: 40 }) })
    .map((crash) => (crash.process < 2 ? crash : undefined)),
  hours: fc.constantFrom(0, 0, 0, 1, 4, 13, 30),
});
const history = fc.array(moment, { minLength: 8, maxLength: 20, size: 'max' });
const HISTORIES = rounds(6, 60);

const still: Moment = { steps: [], drain: false, sweep: false, restart: undefined, hours: 0 };
const save = (active: boolean, endsAt: number | null): Step => ({ kind: 'save', active, endsAt });
const stepsBy = (process: number, id: number, ...steps: Step[]) => steps.map((step) => ({ id, step, process }));
/** The first history: what is rare in others is there in any number of them. */
const EVERYTHING: Moment[] = [
  {
    ...still,
    steps: [...stepsBy(0, 1, save(true, START + 8 * HOUR)), ...stepsBy(1, 2, save(true, null))],
    drain: true,
  },
  {
    ...still,
    steps: [...stepsBy(0, 1, { kind: 'donate' }), ...stepsBy(1, 2, { kind: 'donate' })],
    sweep: true,
    hours: 4,
  },
  { ...still, steps: [...stepsBy(0, 1, { kind: 'criteria', active: true, endsAt: START + 16 * HOUR })], restart: 1 },
  {
    ...still,
    steps: [...stepsBy(1, 1, { kind: 'raw', active: false, endsAt: null }), ...stepsBy(0, 2, { kind: 'takeBack' })],
  },
  // It dies for certain: a save sends statements.
  {
    ...still,
    steps: [...stepsBy(1, 3, save(true, START + 16 * HOUR))],
    drain: true,
    sweep: true,
    crash: { process: 1, statements: 0 },
    hours: 13,
  },
  {
    ...still,
    steps: [...stepsBy(0, 2, { kind: 'remove' }), ...stepsBy(1, 3, save(true, START))],
    drain: true,
    hours: 1,
  },
];

describe.each(databases)('any history ends as its model says, on $name', (database) => {
  let db: TestDatabase;
  let clock: TestClock;
  const processes: Mortal[] = [];

  const start = () =>
    Mortal.start({ database: db, entities: [Challenge, Donation], providers: [Sources, Handlers], clock });

  beforeAll(async () => {
    happened.clear();
    db = await database.create();
    clock = new TestClock(START);
    processes.push(await start(), await start());
  });
  afterAll(async () => {
    for (const process of processes.splice(0)) await process.close();
    await db.drop();
  });

  it('whatever is saved, moved, removed, swept, rechecked and waited for, and in which order', async () => {
    const property = fc.asyncProperty(history, (moments) => new History(processes, clock, start).run(moments));
    await fc.assert(property, { ...histories(HISTORIES), examples: [[EVERYTHING]] });
    expect(VERBS.filter((what) => !happened.has(what))).toEqual([]);
  }, 900_000);
});

/** Runs a history, and the model beside it. */
class History {
  private readonly models: Map<number, Model>;
  private readonly trace: string[] = [];
  /** How often each event may have been handled: once more for each process that died while it was at it. */
  private readonly allowed = new Map<string, number>();

  constructor(
    private readonly processes: Mortal[],
    private readonly clock: TestClock,
    private readonly start: () => Promise<Mortal>,
  ) {
    this.models = new Map(IDS.map((id) => [id, new Model()]));
  }

  async run(moments: readonly Moment[]): Promise<void> {
    await emptyTables(this.processes[0]!.dataSource, ['donation', 'challenge']);
    calls.length = 0;
    // The test's clock does not go backwards: dates of a history lie after its start.
    this.clock.set(this.clock.now() + 1_000 * HOUR);
    const shift = this.clock.now() - START;
    for (const one of moments) await this.moment(shifted(one, shift));
    await this.moment({ steps: [], drain: true, sweep: false, restart: undefined, hours: 0 });
    const times = new Map<string, number>();
    for (const key of calls) times.set(key, (times.get(key) ?? 0) + 1);
    const repeated = [...times].filter(([key, count]) => count > (this.allowed.get(key) ?? 1));
    if (repeated.length > 0) throw new Error(`handled too often: ${repeated.join(' ')}\n${this.trace.join('\n')}`);
  }

  private async moment({ steps, drain, sweep, restart, crash, hours }: Moment): Promise<void> {
    if (restart !== undefined) {
      tally('restart');
      await this.processes[restart]!.close();
      this.processes[restart] = await this.start();
    }
    const sane = this.sane(steps);
    const swept = await this.swept();
    this.trace.push(JSON.stringify({ now: this.clock.now(), steps: sane, drain, sweep, crash }));
    if (crash) this.processes[crash.process]!.crash.after(crash.statements);
    const done = this.processes.map((one, process) => [
      ...sane.filter((each) => each.process === process).map(({ id, step: what }) => this.take(one, id, what)),
      ...(drain ? [one.spark.drain()] : []),
      ...(sweep && process === SWEEPER ? [one.spark.sweep()] : []),
    ]);
    if (drain) tally('drain');
    if (sweep) tally('sweep');
    if (crash) await this.die(crash.process, done);
    else await Promise.all(done.flat());

    const isLost = (process: number) => process === crash?.process;
    // A sweep that was cut short holds what it has found until the next one.
    const sweepsAgain = sweep && isLost(SWEEPER);
    const sweptThen = sweepsAgain ? await this.swept() : swept;
    if (sweepsAgain) await this.processes[SWEEPER]!.spark.sweep();
    const [rows, ledger] = [await this.rows(), await this.ledger()];
    for (const [id, model] of this.models) {
      const own = sane.filter((one) => one.id === id);
      const of = (lost: boolean): Step[] => [
        ...own.filter(({ process }) => isLost(process) === lost).map(({ step: what }) => what),
        ...(drain ? [{ kind: 'drain' } as const] : []),
        ...(sweep && isLost(SWEEPER) === lost ? [{ kind: 'sweep' } as const] : []),
      ];
      model.happen(of(false), this.clock.now(), swept, crash && of(true));
      if (sweepsAgain) model.happen([{ kind: 'sweep' }], this.clock.now(), sweptThen);
      const possible = model.see(rows.get(id), ledger.get(id)!);
      if (possible) {
        const seen = textOf(rows.get(id), [...ledger.get(id)!]);
        throw new Error(`challenge ${id}: ${seen}\nis none of\n${possible.join('\n')}\n${this.trace.join('\n')}`);
      }
    }
    if (hours > 0) tally('advance');
    this.clock.set(this.clock.now() + hours * HOUR);
  }

  /** Lets a process die in the midst of what it does; another one begins, and frees what it had claimed. */
  private async die(process: number, done: readonly Promise<unknown>[][]): Promise<void> {
    const dying = this.processes[process]!;
    const its = Promise.allSettled(done[process]!);
    await Promise.all(done[1 - process]!);
    await Promise.race([its, dying.crash.happened]);
    if (dying.crash.hasHappened) tally('crash');
    await dying.die(done[process]!);
    const next = (this.processes[process] = await this.start());
    for (const key of await next.takeOver()) this.allowed.set(key, (this.allowed.get(key) ?? 1) + 1);
  }

  /** At once, each challenge is written or removed by one at most; a donation needs one that is there and stays. */
  private sane(steps: Moment['steps']): Moment['steps'] {
    const rows = new Map(IDS.map((id) => [id, this.models.get(id)!.row]));
    const busy = new Map<number, Set<string>>(IDS.map((id) => [id, new Set()]));
    return steps.filter(({ id, step: { kind } }) => {
      const row = rows.get(id);
      const others = busy.get(id)!;
      const isWrite = kind === 'save' || kind === 'criteria' || kind === 'raw';
      if (!row && kind !== 'save') return false;
      if (isWrite && (others.has('write') || others.has('remove'))) return false;
      if (kind === 'remove' && others.size > 0) return false;
      if ((kind === 'donate' || kind === 'takeBack') && (others.has('remove') || others.size > 2)) return false;
      if (kind === 'takeBack' && (row!.donations === 0 || others.has('takeBack'))) return false;
      others.add(isWrite ? 'write' : kind === 'donate' ? `donate ${others.size}` : kind);
      return true;
    });
  }

  private async take({ dataSource }: Mortal, id: number, one: Step): Promise<void> {
    const { manager } = dataSource;
    const { row } = this.models.get(id)!;
    tally(one.kind);
    if (row && 'active' in one && row.active && !one.active) tally('deactivate');
    if (row && 'endsAt' in one && row.endsAt !== one.endsAt) tally('move');
    switch (one.kind) {
      case 'save': {
        const startsAt = String(row?.startsAt ?? this.clock.now());
        return void (await dataSource.transaction((outer) =>
          outer.transaction((inner) =>
            inner.save(Challenge, { id, active: one.active, startsAt, endsAt: endText(one.endsAt) }),
          ),
        ));
      }
      case 'criteria':
        return void (await manager.update(Challenge, id, { active: one.active, endsAt: endText(one.endsAt) }));
      case 'raw': {
        const { active, endsAt } = one;
        const ends = endsAt === null ? 'NULL' : `'${endsAt}'`;
        const [name, flag] =
          dataSource.options.type === 'postgres' ? ['"endsAt"', String(active)] : ['endsAt', String(Number(active))];
        return void (await dataSource.query(
          `UPDATE challenge SET active = ${flag}, ${name} = ${ends} WHERE id = ${id}`,
        ));
      }
      case 'donate':
        return void (await manager.save(Donation, { challenge: { id } }));
      case 'takeBack':
        return void (await manager.remove(await manager.findOneByOrFail(Donation, { challenge: { id } })));
      case 'remove':
        return dataSource.transaction(async (inner) => {
          await inner.remove(await inner.findBy(Donation, { challenge: { id } }));
          await inner.remove(await inner.findOneByOrFail(Challenge, { id }));
        });
      default:
        throw new Error(one.kind);
    }
  }

  private async rows(): Promise<Map<number, Row>> {
    const challenges = await this.processes[0]!.dataSource.manager.find(Challenge, { relations: { donations: true } });
    return new Map(
      challenges.map(({ id, active, startsAt, endsAt, donations: { length: donations } }) => [
        id,
        { active, startsAt: Number(startsAt), endsAt: endsAt === null ? null : Number(endsAt), donations },
      ]),
    );
  }

  private async ledger(): Promise<Map<number, Map<string, State>>> {
    const rows: any[] = await this.sql(
      `SELECT e.event_key, e.event_group, d.state FROM spark_event e JOIN spark_delivery d ON d.event_id = e.id`,
    );
    const ledger = new Map(IDS.map((id) => [id, new Map<string, State>()]));
    for (const { event_key: key, event_group: group, state } of rows) {
      const [id, occurrence] = key.slice(group.length + 1).split('@');
      ledger.get(Number(id))!.set(occurrence === undefined ? group : `${group}@${occurrence}`, state);
    }
    return ledger;
  }

  /** The groups that a sweep has finished. */
  private async swept(): Promise<Set<string>> {
    const rows = await this.sql('SELECT name FROM spark_group WHERE swept_at IS NOT NULL');
    return new Set(rows.map(({ name }) => name));
  }

  private sql(statement: string): Promise<any[]> {
    return this.processes[0]!.dataSource.query(statement);
  }
}

const endText = (endsAt: number | null): string | null => (endsAt === null ? null : String(endsAt));

const shifted = (one: Moment, by: number): Moment => ({
  ...one,
  steps: one.steps.map((each) =>
    'endsAt' in each.step && each.step.endsAt !== null
      ? { ...each, step: { ...each.step, endsAt: each.step.endsAt + by } }
      : each,
  ),
});
