import { Injectable } from '@nestjs/common';
import {
  eachDay,
  eachValue,
  EventSource,
  GroupHandler,
  type SourceScope,
  sparkEvent,
  type SparkEvent,
} from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type BeforeQueryEvent,
  Column,
  type DataSource,
  Entity,
  Index,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type Relation,
} from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';
import { DAY, HOUR, MINUTE, SetClock } from './support/set-clock.js';

@Entity()
class Task {
  @PrimaryColumn() id: number;
  @Column({ default: true }) isOpen: boolean;
  /** Epoch ms as text. */
  @Column({ type: 'varchar', length: 20, nullable: true }) due: string | null;
  @OneToMany(() => Step, (step) => step.task) steps: Relation<Step>[];
}

@Entity()
class Step {
  @PrimaryGeneratedColumn() id: number;
  @Index() @ManyToOne(() => Task, (task) => task.steps) task: Relation<Task>;
}

let broken = false;
let handled: string[] = [];
let instants: number[] = [];
let rechecked: number[] = [];
let held: Promise<void> | undefined;

const dueOf = ({ due }: Task) => (due === null ? null : new Date(Number(due)));

@Injectable()
class OwnRow {
  @EventSource(Task)
  *own(task: Task) {
    if (task.isOpen) yield sparkEvent('own', task.id, {}, { at: dueOf(task) });
  }
}

@Injectable()
class WithRelations {
  @EventSource(Task, { relations: { steps: true } })
  *related(task: Task, { now }: SourceScope) {
    if (broken) throw new Error('out of order');
    instants.push(now.getTime());
    const at = dueOf(task);
    if (task.isOpen && task.steps.length === 0)
      yield sparkEvent('related', task.id, {}, { at, occurrence: eachValue(at) });
  }
}

@Injectable()
class Batch {
  @EventSource(Task, { batch: true })
  async many(tasks: Task[]) {
    return tasks.flatMap((task) => [
      sparkEvent('many', task.id, {}, { at: dueOf(task) }),
      sparkEvent('dated', task.id, {}, { at: dueOf(task), occurrence: `${dueOf(task)?.toISOString()}@Berlin` }),
      sparkEvent('unknown', task.id, {}, { at: dueOf(task), key: `unknown of ${task.id}` }),
    ]);
  }
}

@Injectable()
class Daily {
  @EventSource(Task)
  *daily(task: Task, { now }: SourceScope) {
    yield sparkEvent('daily', task.id, {}, { occurrence: eachDay(now, 'Europe/Berlin') });
  }
}

@Injectable()
class Slow {
  @EventSource(Task)
  async slow({ id }: Task) {
    rechecked.push(id);
    if (id === 1) await held;
    return [sparkEvent('slow', id)];
  }
}

@Injectable()
class Moody {
  @EventSource(Task)
  *moody(task: Task) {
    if (broken) throw new Error('out of order');
    yield sparkEvent('moody', task.id, {}, { at: dueOf(task) });
  }
}

@Injectable()
class Handlers {
  @GroupHandler(/./, { name: 'all' })
  all({ key }: SparkEvent) {
    handled.push(key);
  }
}

describe.each(databases)('an event fires when its time comes, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let clock: SetClock;
  let dataSource: DataSource;

  beforeEach(async () => {
    db = await database.create();
    clock = new SetClock();
    broken = false;
    handled = [];
    instants = [];
    rechecked = [];
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const open = (
    of: { now(): number } = clock,
    providers: any[] = [OwnRow, WithRelations, Handlers],
    options: object = {},
  ) =>
    startApp({
      database: db,
      entities: [Task, Step],
      providers,
      clock: of,
      spark: { worker: { pollInterval: '1h' } },
      dataSource: options,
    });
  const start = async (...args: Parameters<typeof open>) => {
    app = await open(...args);
    dataSource = app.dataSource;
  };
  const save = async (due: number | null, more: Partial<Task> = {}) => {
    await dataSource.manager.save(Task, { id: 1, isOpen: true, due: due === null ? null : String(due), ...more });
    await app.spark.drain();
  };
  const later = async (ms: number) => {
    clock.pass(ms);
    await app.spark.drain();
    return groups();
  };
  const groups = () => handled.map((key) => key.split('_')[0]!).sort();
  const rechecks = async () => {
    const rows: { due_at: string }[] = await dataSource.query(
      'SELECT DISTINCT due_at FROM spark_recheck ORDER BY due_at',
    );
    return rows.map((row) => Number(row.due_at) - clock.now());
  };
  const entered = async () => Number((await dataSource.query('SELECT COUNT(*) AS n FROM spark_event'))[0].n);

  it('not before: it waits as a recheck, and nothing is entered', async () => {
    await start();
    await save(clock.now() + 2 * DAY);
    expect([await entered(), await rechecks()]).toEqual([0, [2 * DAY]]);
    expect(await later(2 * DAY - 1)).toEqual([]);
    expect(await later(1)).toEqual(['own', 'related']);
    expect(await rechecks()).toEqual([]);
    expect(await later(DAY)).toEqual(['own', 'related']);
  });

  it('that of a batch source too, which says by ids what each event is about', async () => {
    await start(clock, [Batch, Handlers]);
    await save(clock.now() + DAY);
    await save(clock.now() + 2 * DAY, { id: 2 });
    expect(await later(DAY)).toEqual(['dated', 'many', 'unknown of 1']);
    expect((await later(DAY)).filter((group) => /many|dated/.test(group))).toEqual(['dated', 'dated', 'many', 'many']);
    const rows = await dataSource.query("SELECT entity_id FROM spark_event WHERE event_group = 'dated' ORDER BY id");
    expect(rows.map((row: any) => row.entity_id)).toEqual(['1', '2']);
    expect(app.logs.join('\n')).toMatch(
      /Batch.many yielded .*unknown of 1.* does not know which entity to recheck then/,
    );
  });

  it('the same recheck exists once, however often the entity is saved', async () => {
    await start();
    await save(clock.now() + 2 * DAY);
    for (let i = 0; i < 3; i++)
      await dataSource.manager.update(Task, 1, { isOpen: true }).then(() => app.spark.drain());
    const [row] = await dataSource.query('SELECT COUNT(*) AS n FROM spark_recheck');
    expect(Number(row.n)).toBe(1);
  });

  it('later, when its date moves on, and sooner, when it moves up', async () => {
    await start();
    await save(clock.now() + DAY);
    await save(clock.now() + 3 * DAY);
    expect(await later(DAY)).toEqual([]);
    expect(await later(DAY)).toEqual([]);
    await save(clock.now() + HOUR);
    expect(await later(HOUR - 1)).toEqual([]);
    expect(await later(1)).toEqual(['own', 'related']);
    expect(await later(3 * DAY)).toEqual(['own', 'related']);
  });

  it('once for each value of its date, where that is its occurrence', async () => {
    await start();
    await save(clock.now());
    await save(clock.now() + DAY);
    expect(await later(DAY)).toEqual(['own', 'related', 'related']);
  });

  it('never, when its condition stopped to hold, also by what is read with it; its key stays free', async () => {
    await start();
    await save(clock.now() + DAY, { isOpen: false });
    await dataSource.manager.save(Task, { id: 2, isOpen: true, due: String(clock.now() + DAY) });
    await app.spark.drain();
    const step = await dataSource.manager.save(dataSource.manager.create(Step, { task: { id: 2 } }));
    expect(await later(DAY)).toEqual(['own']);
    expect(await entered()).toBe(1);
    await dataSource.manager.remove(step);
    await save(clock.now() - DAY);
    expect(groups()).toEqual(['own', 'own', 'related', 'related']);
  });

  it('never, when its entity is gone, or its date is not set', async () => {
    await start();
    await save(null);
    expect(await rechecks()).toEqual([]);
    await save(clock.now() + DAY);
    await dataSource.manager.delete(Task, 1);
    expect(await later(DAY)).toEqual([]);
    expect([await entered(), await rechecks()]).toEqual([0, []]);
  });

  it('after a downtime, all that it has missed', async () => {
    await start();
    for (const id of [1, 2, 3]) await save(clock.now() + id * DAY, { id });
    await app.close();
    clock.pass(10 * DAY);
    await start();
    await app.spark.drain();
    expect(groups()).toEqual(['own', 'own', 'own', 'related', 'related', 'related']);
  });

  it('at the ends of time', async () => {
    await start();
    await save(8.64e15);
    expect([groups(), await rechecks()]).toEqual([[], [8.64e15 - clock.now()]]);
    await save(-8.64e15, { id: 2 });
    expect(groups()).toEqual(['own', 'related']);
  });

  it('after its source has thrown: it is rechecked, later and later, and the log says so', async () => {
    await start();
    broken = true;
    await save(clock.now());
    expect(groups()).toEqual(['own']);
    const pauses: number[] = [];
    for (let i = 0; i < 4; i++) {
      const [pause] = await rechecks();
      pauses.push(pause!);
      await later(pause!);
    }
    for (const [i, pause] of pauses.entries()) {
      expect(pause).toBeGreaterThanOrEqual(2 ** i * 500);
      expect(pause).toBeLessThanOrEqual(2 ** i * 1_500);
    }
    expect(app.logs.join('\n')).toMatch(/WithRelations\.related failed for Task 1, attempt 1/);
    broken = false;
    expect(await later(HOUR)).toEqual(['own', 'related']);
    expect(await rechecks()).toEqual([]);
  });

  it('after its source has thrown inside of a save: the save stands, and it is rechecked', async () => {
    await start(clock, [Moody, Handlers]);
    broken = true;
    await save(clock.now());
    expect(await dataSource.manager.count(Task)).toBe(1);
    const [pause] = await rechecks();
    expect(pause).toBeGreaterThanOrEqual(500);
    expect(app.logs.join('\n')).toMatch(/error Moody\.moody failed for Task 1, attempt 1.*out of order/s);
    broken = false;
    expect(await later(pause!)).toEqual(['moody']);
  });

  it('each day anew, where the day is its occurrence', async () => {
    await start(clock, [Daily, Handlers]);
    await save(null);
    clock.pass(DAY);
    await app.spark.sweep();
    await app.spark.sweep();
    await app.spark.drain();
    expect(handled).toEqual(['daily_1@2026-03-01', 'daily_1@2026-03-02']);
  });

  it.each([
    ['forward', '2026-03-28T20:00:00Z', ['28 21:00', '29 23:00', '30 22:00']],
    ['back', '2026-10-24T20:00:00Z', ['24 21:00', '25 22:00', '26 23:00']],
  ])('once for each day of its zone, also where clocks go %s', async (_, from, expected) => {
    clock.pass(Date.parse(from) - clock.now());
    await start(clock, [Daily, Handlers]);
    await dataSource.query(`INSERT INTO task VALUES (1, ${database.name === 'PostgreSQL' ? 'true' : '1'}, NULL)`);
    const days: string[] = [];
    for (let hour = 0; hour < 30; hour++) {
      handled = [];
      clock.pass(HOUR);
      await app.spark.sweep();
      await app.spark.drain();
      days.push(...handled.map((key) => `${key.slice(-2)} ${clock.date().toISOString().slice(11, 16)}`));
    }
    expect(days).toEqual(expected);
  });

  it('a recheck has one instant, for what is due, what is derived and what is entered', async () => {
    let ticks = 0;
    await start({ now: () => clock.now() + ticks++ }, [WithRelations]);
    await dataSource.manager.save(
      Task,
      Array.from({ length: 20 }, (_, i) => ({ id: i + 1, isOpen: true, due: String(clock.now() + DAY) })),
    );
    await app.spark.drain();
    instants = [];
    clock.pass(DAY);
    await app.spark.drain();
    expect(instants).toHaveLength(20);
    expect(new Set(instants).size).toBe(1);
    const recorded = await dataSource.query('SELECT DISTINCT recorded_at FROM spark_event');
    expect(recorded.map((row: any) => Number(row.recorded_at))).toEqual([instants[0]]);
  });

  // On SQLite nothing is locked, and processes recheck the same.
  it.skipIf(database.name === 'SQLite')(
    'while another process is slow at a recheck: others pass over that',
    async () => {
      let release = () => {};
      held = new Promise((resolve) => (release = resolve));
      await start(clock, [Slow, Handlers]);
      const other = await open(clock, [Slow, Handlers]);
      try {
        await dataSource.manager.save(Task, { id: 1, isOpen: true, due: null });
        await vi.waitFor(() => expect(rechecked).toEqual([1]), 10_000);
        await other.dataSource.manager.save(Task, { id: 2, isOpen: true, due: null });
        await vi.waitFor(() => expect(handled).toEqual(['slow_2']), 10_000);
        expect(rechecked).toEqual([1, 2]);
        release();
        await vi.waitFor(() => expect(handled).toEqual(['slow_2', 'slow_1']), 10_000);
      } finally {
        release();
        await other.close();
      }
    },
  );

  it('while the same entities are saved: no save fails, and each event fires once', async () => {
    await start();
    const ids = Array.from({ length: 40 }, (_, i) => i + 1);
    const due = String(clock.now() + DAY);
    await dataSource.manager.save(
      Task,
      ids.map((id) => ({ id, isOpen: true, due })),
    );
    await app.spark.drain();
    clock.pass(DAY);
    const saves = ids.flatMap((id) => [
      dataSource.manager.save(Task, { id, isOpen: true, due: String(Number(due) - 1) }),
      dataSource.manager.update(Task, { id }, { isOpen: true }),
      dataSource.transaction(async (manager) => {
        const task = await manager.findOneByOrFail(Task, { id });
        await manager.save(Object.assign(task, { isOpen: true }));
      }),
    ]);
    const results = await Promise.allSettled([...saves, ...Array.from({ length: 10 }, () => app.spark.drain())]);
    expect(results.filter(({ status }) => status === 'rejected')).toEqual([]);
    await app.spark.drain();
    expect(handled.filter((key) => key.startsWith('own')).sort()).toEqual(ids.map((id) => `own_${id}`).sort());
    expect(new Set(handled).size).toBe(handled.length);
    expect(app.logs.filter((line) => line.startsWith('error'))).toEqual([]);
  });

  // On SQLite nobody takes a recheck while another transaction writes.
  it.skipIf(database.name === 'SQLite')(
    'though its recheck was taken while the change that makes it true was committing',
    async () => {
      const log = new QueryLog();
      app = await open(clock, [OwnRow, Handlers], { logger: log });
      dataSource = app.dataSource;
      const other = await open(clock, [OwnRow]);
      try {
        await save(clock.now() + 30 * MINUTE);
        await save(clock.now() + 30 * MINUTE, { isOpen: false });
        expect(await rechecks()).toEqual([30 * MINUTE]);
        let taken = 0;
        const hold = {
          beforeQuery: async ({ query, queryRunner }: BeforeQueryEvent) => {
            if (query !== 'COMMIT' || taken++ > 0) return;
            // The recheck that this transaction wants is asked for, or added, by then.
            while (!log.statements.some((statement) => statement.includes('spark_recheck'))) await delay(5);
            await queryRunner.query('SELECT 1');
            clock.pass(30 * MINUTE);
            await other.spark.drain();
          },
        };
        log.statements.length = 0;
        dataSource.subscribers.push(hold);
        await save(clock.now() + 30 * MINUTE);
        dataSource.subscribers.pop();
        expect(taken).toBeGreaterThan(0);
        // The other process may be the one that rechecks.
        await vi.waitFor(async () => expect(await later(0)).toEqual(['own']), 5_000);
      } finally {
        await other.close();
      }
    },
  );

  it('once, where the clocks of two processes are minutes apart: early at most', async () => {
    await start({ now: () => clock.now() - 5 * MINUTE });
    const early = await open({ now: () => clock.now() + 5 * MINUTE });
    try {
      for (const id of [1, 2, 3, 4]) {
        const by = id % 2 ? app : early;
        await by.dataSource.manager.save(Task, { id, isOpen: true, due: String(clock.now() + HOUR + id * MINUTE) });
      }
      const drain = () => Promise.all([app.spark.drain(), early.spark.drain()]);
      const fired = async (ms: number) => {
        clock.pass(ms);
        for (let i = 0; i < 3; i++) await drain();
        return handled.filter((key) => key.startsWith('own')).sort();
      };
      expect(await fired(0)).toEqual([]);
      expect(await fired(HOUR - 4 * MINUTE - 1)).toEqual([]);
      expect(await fired(1)).toEqual(['own_1']);
      expect(await fired(3 * MINUTE)).toEqual(['own_1', 'own_2', 'own_3', 'own_4']);
      expect((await fired(HOUR)).length).toBe(4);
      expect(handled.filter((key) => key.startsWith('related')).length).toBe(4);
      expect(await rechecks()).toEqual([]);
    } finally {
      await early.close();
    }
  });
});
