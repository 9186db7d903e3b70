/* oxlint-disable vitest/no-standalone-expect, vitest/valid-expect -- tests call these functions */
import { Injectable, type Provider } from '@nestjs/common';
import fc from 'fast-check';
import { GroupHandler, type SparkEvent } from 'nestjs-spark';
import { DataSource, type EntityTarget } from 'typeorm';
import { expect } from 'vitest';
import type { TestDatabase } from './databases.js';
import { emptyTables } from './empty-tables.js';
import { HistoryClock } from './history-clock.js';
import { Mortal } from './mortal.js';
import { iso, passed, type Seen, textOf, type World, Worlds, type Write } from './worlds.js';

/** The rows of a test. */
export interface Row {
  readonly id: number;
}

/** What happens next: what the process `by` does, or what becomes of it. */
export type Step<W> =
  | { readonly kind: 'save' | 'criteria' | 'raw'; readonly by: number; readonly id: number; readonly what: W }
  | { readonly kind: 'remove'; readonly by: number; readonly id: number }
  | { readonly kind: 'wait' | 'pass' | 'plan'; readonly by: number; readonly ms: number }
  | { readonly kind: 'drain' | 'sweep' | 'restart'; readonly by: number }
  /** It dies after so many more statements, whatever it is at then. */
  | { readonly kind: 'kill'; readonly by: number; readonly after: number; readonly isAnswerLost: boolean };

export const KINDS = ['save', 'criteria', 'raw', 'remove', 'wait', 'pass', 'plan', 'drain', 'sweep', 'restart', 'kill'];

/** What a test is about. */
export interface Subject<W> {
  readonly entity: new () => Row;
  readonly sources: Provider;
  /** What is known of an entity that is not there. */
  world(id: number): World;
  /** The row that a step writes at an instant of a history that began at `begin`. */
  row(id: number, what: W, begin: number, now: number): Row;
  /** How much time passes at the end of each history, with nothing down. */
  readonly end: number;
}

const IDS = [1, 2];
const PROCESSES = 2;

/** Steps of any kind. `ms` is how much time passes in one of them. */
export function anyStep<W>(what: fc.Arbitrary<W>, ms: fc.Arbitrary<number>): fc.Arbitrary<Step<W>> {
  const by = fc.nat(PROCESSES - 1);
  const id = fc.constantFrom(...IDS);
  const kind = <K extends string>(...kinds: K[]) => fc.constantFrom(...kinds);
  const after = fc.oneof(fc.nat(12), fc.nat(60));
  return fc.oneof(
    { weight: 9, arbitrary: fc.record({ kind: kind('save', 'save', 'save', 'criteria', 'raw'), by, id, what }) },
    { weight: 1, arbitrary: fc.record({ kind: kind('remove'), by, id }) },
    { weight: 7, arbitrary: fc.record({ kind: kind('wait', 'pass', 'pass', 'plan'), by, ms }) },
    { weight: 5, arbitrary: fc.record({ kind: kind('drain', 'drain', 'sweep', 'restart'), by }) },
    { weight: 3, arbitrary: fc.record({ kind: kind('kill'), by, after, isAnswerLost: fc.boolean() }) },
  );
}

let calls: string[] = [];

@Injectable()
class Handlers {
  @GroupHandler(/./, { name: 'all' })
  handle({ key }: SparkEvent) {
    calls.push(key);
  }
}

/** Plays histories on one database: two processes that may die at any statement, and beside each entity what is known of it. */
export class Histories<W> {
  private readonly clock = new HistoryClock();
  private readonly processes: Mortal[] = [];
  private readonly observer: DataSource;
  private worlds = new Map<number, Worlds>();
  private begin = 0;
  private trace: string[] = [];
  /** How often an event may have been handled: once more for each process that died while it was at it. */
  private allowed = new Map<string, number>();
  /** How often each kind of step was done, and how often a process died in it: `save`, `died in save`. */
  readonly tally = new Map<string, number>();

  constructor(
    private readonly database: TestDatabase,
    private readonly subject: Subject<W>,
  ) {
    this.observer = new DataSource({ ...database.options, poolSize: 2, entities: [subject.entity] } as never);
  }

  async open(): Promise<void> {
    while (this.processes.length < PROCESSES) this.processes.push(await this.start());
    await this.observer.initialize();
  }

  async close(): Promise<void> {
    for (const one of this.processes) await one.close();
    if (this.observer.isInitialized) await this.observer.destroy();
  }

  /** Plays a history from an instant on. Then processes die no more, and all that is left must come. */
  async play(begin: number, steps: readonly Step<W>[]): Promise<void> {
    await this.clear(begin);
    for (const step of steps) await this.take(step);
    await this.spare();
    for (const kind of ['sweep', 'drain'] as const) await this.take({ kind, by: 0 });
    await this.take({ kind: 'pass', by: 1, ms: this.subject.end });
    await this.checkDeliveries();
  }

  /**
   * Plays a history again and again. In each, a process dies at another statement: every `stride`th.
   *
   * @returns how often a process has died
   */
  async playAll(begin: number, steps: readonly Step<W>[], stride: number): Promise<number> {
    for (let deaths = 0; ; deaths++) {
      const before = this.deaths;
      const kill = { kind: 'kill', by: 0, after: deaths * stride, isAnswerLost: deaths % 2 === 1 } as const;
      await this.play(begin, [kill, ...steps]);
      if (this.deaths === before) return deaths;
    }
  }

  /** How often processes have died so far. */
  get deaths(): number {
    return [...this.tally].reduce((sum, [what, count]) => (what.startsWith('died') ? sum + count : sum), 0);
  }

  private async clear(begin: number): Promise<void> {
    await this.spare();
    await emptyTables(this.observer, [this.observer.getMetadata(this.subject.entity).tableName]);
    calls = [];
    this.allowed.clear();
    this.trace = [];
    this.begin = begin;
    this.clock.begin(begin);
    this.worlds = new Map(IDS.map((id) => [id, new Worlds(this.subject.world(id))]));
  }

  /** From now on no process dies. Another one takes the place of one that is dead and was at nothing. */
  private async spare(): Promise<void> {
    for (const one of this.processes) one.crash.spare();
    for (const by of this.processes.keys()) await this.by(by, () => Promise.resolve());
  }

  private start(): Promise<Mortal> {
    const { entity, sources } = this.subject;
    return Mortal.start({
      database: this.database,
      entities: [entity],
      providers: [sources, Handlers],
      clock: this.clock,
    });
  }

  /** Takes a step, and lets the same happen in all worlds. Returns whether its process survived. */
  private async take(step: Step<W>): Promise<boolean> {
    const { kind } = step;
    if (kind === 'plan') return this.plan(step.by, step.ms);
    this.trace.push(`${iso(this.clock.now())} ${JSON.stringify(step)}`);
    const isAlive = await this.done(step);
    this.count(kind);
    if (!isAlive) {
      this.trace.push(`${iso(this.clock.now())} process ${step.by} has died`);
      this.count(`died in ${kind}`);
    }
    await this.compare();
    return isAlive;
  }

  private async done(step: Step<W>): Promise<boolean> {
    switch (step.kind) {
      case 'save':
      case 'criteria':
      case 'raw':
        return this.write(step.by, step.kind, step.id, this.rowOf(step.id, step.what));
      case 'remove':
        return this.write(step.by, 'remove', step.id, undefined);
      case 'drain':
        return this.pass(step.by, this.clock.now());
      case 'pass':
        return this.pass(step.by, this.clock.now() + step.ms);
      case 'wait':
        this.clock.set(this.clock.now() + step.ms);
        return true;
      case 'sweep':
        return this.sweep(step.by);
      case 'restart':
        return this.restart(step.by);
      case 'kill':
        this.processes[step.by]!.crash.after(step.after, step.isAnswerLost);
        return true;
      default:
        throw new Error(step.kind);
    }
  }

  /** A write whose process has died may have committed. Its row says so. */
  private async write(by: number, how: Write, id: number, row: Row | undefined): Promise<boolean> {
    const worlds = this.worlds.get(id)!;
    // Where there is no row yet, there is nothing to update.
    if (how !== 'save' && !worlds.row) return true;
    const now = this.clock.now();
    const isAlive = await this.by(by, ({ dataSource }) => this.send(dataSource, how, id, row));
    worlds.happen((world) => [...(isAlive ? [] : [world]), world.written(how, row, now)]);
    return isAlive;
  }

  private async send({ manager }: DataSource, how: Write, id: number, row: Row | undefined): Promise<unknown> {
    const { entity } = this.subject;
    if (how === 'save') return manager.save(Object.assign(new entity(), row));
    if (how === 'remove') return manager.remove(await manager.findOneByOrFail(entity as EntityTarget<Row>, { id }));
    const { id: _, ...rest } = row!;
    if (how === 'criteria') return manager.update(entity, id, rest);
    // Another program does it.
    const { driver } = this.observer;
    const names = Object.keys(rest).map((name, i) => `${driver.escape(name)} = ${driver.createParameter(name, i)}`);
    const values = Object.values(rest).map((value) =>
      this.isLite && typeof value === 'boolean' ? Number(value) : value,
    );
    return this.observer.query(`UPDATE ${this.table} SET ${names.join(', ')} WHERE id = ${id}`, values);
  }

  /** Lets time pass, or none. */
  private async pass(by: number, end: number): Promise<boolean> {
    const now = this.clock.now();
    const isAlive = await this.by(by, ({ kit }) => (end === now ? kit.drain() : kit.advanceTo(end)));
    const reached = this.clock.now();
    for (const worlds of this.worlds.values())
      worlds.happen((world) => {
        const all = passed(world, now, reached);
        return isAlive ? all.slice(-1) : all;
      });
    return isAlive;
  }

  private async sweep(by: number): Promise<boolean> {
    const now = this.clock.now();
    const isAlive = await this.by(by, ({ spark }) => spark.sweep());
    for (const worlds of this.worlds.values())
      worlds.happen((world) => {
        const { during, ends } = world.swept(now);
        return isAlive ? ends : [...during, ...ends];
      });
    return isAlive;
  }

  private async restart(by: number): Promise<boolean> {
    const isAlive = await this.by(by, (process) => process.close());
    if (isAlive) this.processes[by] = await this.start();
    return isAlive;
  }

  /** Lets time pass when all that is true is known. Then the plan says what comes. */
  private async plan(by: number, ms: number): Promise<boolean> {
    for (const kind of ['sweep', 'drain'] as const) if (!(await this.take({ kind, by }))) return false;
    const planned: string[] = [];
    const at = new Date(this.clock.now() + ms);
    const isPlanned = await this.by(by, async ({ spark }) => {
      for await (const one of spark.plan({ at })) if (one.outcome === 'enter') planned.push(one.key);
    });
    this.count('plan');
    const before = new Set(await this.keys());
    const isAlive = await this.take({ kind: 'pass', by, ms });
    if (!isPlanned || !isAlive) return false;
    const entered = (await this.keys()).filter((key) => !before.has(key));
    expect(planned.sort(), this.trace.join('\n')).toEqual(entered.sort());
    return true;
  }

  /** Lets a process work. If it dies, another one takes its place. */
  private async by(at: number, work: (process: Mortal) => Promise<unknown>): Promise<boolean> {
    const process = this.processes[at]!;
    if (await process.survives(() => work(process))) return true;
    const next = (this.processes[at] = await this.start());
    for (const key of await next.takeOver()) this.allowed.set(key, (this.allowed.get(key) ?? 1) + 1);
    return false;
  }

  /** What is there must be what is there in one of the worlds. */
  private async compare(): Promise<void> {
    for (const [id, worlds] of this.worlds) {
      const seen = await this.seen(id);
      const possible = worlds.see(seen);
      if (possible)
        throw new Error(`${id}: ${textOf(seen)}\nis none of\n${possible.join('\n')}\nafter\n${this.trace.join('\n')}`);
    }
  }

  private async seen(id: number): Promise<Seen> {
    const { manager, driver } = this.observer;
    const row = await manager.findOneBy(this.subject.entity, { id });
    const of = (table: string, instant: string) =>
      this.sql(`SELECT event_key, ${driver.escape(instant)} AS instant FROM spark_${table} WHERE entity_id = '${id}'`);
    const text = ({ event_key: key, instant }: Record<string, unknown>) =>
      `${String(key)} ${instant === null ? 'not sure' : iso(Number(instant))}`;
    const [events, lasting] = [await of('event', 'at'), await of('condition', 'since')];
    return { row: row ? { ...row } : undefined, events: events.map(text), lasting: lasting.map(text) };
  }

  /** Each event was handled once, and again if a process died meanwhile. If its until had passed before, it is skipped. */
  private async checkDeliveries(): Promise<void> {
    const deliveries = await this.processes[0]!.kit.deliveries();
    const wrong: string[] = [];
    for (const { key, state, error } of deliveries) {
      const count = calls.filter((call) => call === key).length;
      const most = this.allowed.get(key) ?? 1;
      const isLate = state === 'skipped' && /^its until, .* has passed/.test(error ?? '');
      const isRight = state === 'completed' ? count > 0 && count <= most : isLate && count < most;
      if (!isRight) wrong.push(`${key} is ${state} (${error}), and was handled ${count} times`);
    }
    expect(wrong, this.trace.join('\n')).toEqual([]);
    expect(deliveries.map(({ key }) => key).sort(), this.trace.join('\n')).toEqual((await this.keys()).sort());
  }

  private rowOf(id: number, what: W): Row {
    return this.subject.row(id, what, this.begin, this.clock.now());
  }

  private async keys(): Promise<string[]> {
    return (await this.sql('SELECT event_key FROM spark_event')).map(({ event_key: key }) => key as string);
  }

  private count(what: string): void {
    this.tally.set(what, (this.tally.get(what) ?? 0) + 1);
  }

  private get table(): string {
    return this.observer.driver.escape(this.observer.getMetadata(this.subject.entity).tableName);
  }

  private get isLite(): boolean {
    return this.database.options.type === 'better-sqlite3';
  }

  private sql(statement: string): Promise<Record<string, unknown>[]> {
    return this.observer.query(statement);
  }
}
