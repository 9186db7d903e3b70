import { Injectable } from '@nestjs/common';
import { eachDay, EventSource, GroupHandler, type Planned, type SourceScope, sparkEvent } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';
import { DAY, HOUR } from './support/set-clock.js';

@Entity()
class Task {
  @PrimaryGeneratedColumn() id: number;
  @Column({ default: true }) open: boolean;
  @Column({ type: 'bigint' }) due: string;
}

@Entity()
class Unwatched {
  @PrimaryGeneratedColumn() id: number;
}

@Injectable()
class Tasks {
  @EventSource(Task, { name: 'tasks' })
  *events({ id, open, due }: Task) {
    const date = new Date(Number(due));
    yield sparkEvent('created', id);
    if (open) yield sparkEvent('due', id, {}, { at: date, until: new Date(Number(due) + DAY) });
  }

  @GroupHandler(/^(created|due)/, { name: 'notes' })
  note() {}
}

/** Each yields what another instant has made true. */
@Injectable()
class Steps {
  @EventSource(Task, { name: 'steps' })
  *steps({ id, due }: Task, { now }: SourceScope) {
    const start = Number(due);
    for (let step = 0; step < 3; step++) {
      const at = new Date(start + step * HOUR);
      yield sparkEvent('step', id, {}, { at, occurrence: step });
      if (at > now) return;
    }
  }

  @EventSource(Task, { name: 'batch', batch: true })
  batch(tasks: Task[], { now }: SourceScope) {
    return tasks.map(({ id }) => sparkEvent('daily', id, {}, { occurrence: eachDay(now, 'UTC') }));
  }
}

@Injectable()
class Bad {
  @EventSource(Task, { name: 'own-clock' })
  *ownClock({ id, due }: Task) {
    if (new Date() > new Date(Number(due))) yield sparkEvent('late', id);
  }

  @EventSource(Task, { name: 'throws' })
  throws({ id }: Task) {
    if (id === 1) throw new Error('on purpose');
    return [sparkEvent('fine', id), sparkEvent('', id)];
  }

  @EventSource(Task, { name: 'endless' })
  *endless({ id }: Task, { now }: SourceScope) {
    yield sparkEvent('again', id, {}, { at: new Date(now.getTime() + 1_000), occurrence: now.getTime() });
  }
}

@Injectable()
class OwnClocks {
  @EventSource(Task, { name: 'of-some' })
  *ofSome({ id }: Task) {
    if (id > 1 && Date.now() > 0) yield sparkEvent('late', id);
  }

  @EventSource(Task, { name: 'in-steps' })
  async *inSteps({ id }: Task) {
    yield sparkEvent('step', id);
    if (new Date().getTime() > 0) yield sparkEvent('late step', id);
  }
}

@Injectable()
class Moody {
  fails = false;

  @EventSource(Task, { name: 'moody' })
  *moody({ id }: Task) {
    if (this.fails) throw new Error('on purpose');
    yield sparkEvent('moody', id);
  }
}

@Injectable()
class Unreadable {
  @EventSource(Task, { name: 'unreadable', query: (qb) => qb.andWhere('no_such_column = 1') })
  *events() {}
}

describe.each(databases)('the plan is what happens, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let kit: SparkTestKit;
  let log: QueryLog;

  const start = async (...providers: any[]) => {
    log = new QueryLog();
    app = await startApp({
      database: db,
      entities: [Task, Unwatched],
      providers,
      clock: new TestClock('2026-06-01T12:00:00Z'),
      dataSource: { logger: log },
    });
    kit = new SparkTestKit(app.app);
  };
  beforeEach(async () => {
    db = await database.create();
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const save = async (days: number, more: Partial<Task> = {}) => {
    await app.dataSource.manager.save(Task, { due: String(kit.clock.now() + days * DAY), ...more });
    await kit.drain();
  };
  const insertUnseen = (days: number) =>
    app.dataSource.query(`INSERT INTO task (open, due) VALUES (${yes()}, ${kit.clock.now() + days * DAY})`);
  const yes = () => (database.name === 'PostgreSQL' ? 'true' : '1');
  const later = (days: number) => new Date(kit.clock.now() + days * DAY);
  const plan = async (options: Parameters<typeof app.spark.plan>[0] = {}) => {
    const planned: Planned[] = [];
    for await (const one of app.spark.plan(options)) planned.push(one);
    return planned;
  };
  const words = (planned: Planned[]) =>
    planned.map((one) =>
      [one.outcome, 'key' in one ? one.key : `${one.entity} ${one.id}`, ...('at' in one ? [one.at.toISOString()] : [])]
        .join(' ')
        .replace(/:00\.000Z/, ''),
    );

  it('now: what a save did not see is entered, what is to come is scheduled, what is known is not listed', async () => {
    await start(Tasks);
    await save(1);
    await insertUnseen(2);
    expect(words(await plan())).toEqual([
      'enter created_2 2026-06-01T12:00',
      'schedule due_1 2026-06-02T12:00',
      'schedule due_2 2026-06-03T12:00',
    ]);
    const [created] = await plan();
    expect(created).toEqual({
      outcome: 'enter',
      source: 'tasks',
      entity: 'Task',
      id: '2',
      group: 'created',
      key: 'created_2',
      at: kit.clock.date,
      handlers: ['notes'],
    });
  });

  it('at a later instant: exactly what is entered by then, at the same instants', async () => {
    await start(Tasks, Steps);
    const random = [0.5, 1, 3, 2, 0.25, 7];
    for (const days of random) await save(days);
    await save(1, { open: false });
    const planned = (await plan({ at: later(3) })).filter(({ outcome }) => outcome === 'enter');
    const before = new Set(await kit.events());
    await kit.advance('3d');
    await app.spark.sweep();
    const rows: any[] = await app.dataSource.query('SELECT event_key, recorded_at FROM spark_event');
    const happened = rows
      .filter((row) => !before.has(row.event_key))
      .map((row) =>
        `enter ${row.event_key} ${new Date(Number(row.recorded_at)).toISOString()}`.replace(':00.000Z', ''),
      );
    expect(planned.length).toBeGreaterThan(25);
    expect(words(planned).sort()).toEqual(happened.sort());
    expect(words(await plan()).filter((text) => text.startsWith('enter'))).toEqual([]);
  });

  it('dates that were moved, conditions that stopped to hold and entities that are gone are cancelled', async () => {
    await start(Tasks);
    for (const days of [1, 2, 3, 4]) await save(days);
    const { manager } = app.dataSource;
    await manager.update(Task, 1, { due: String(later(5).getTime()) });
    await manager.update(Task, 2, { open: false });
    await manager.delete(Task, 3);
    await kit.drain();
    const expected = [
      'cancel Task 1 2026-06-02T12:00',
      'cancel Task 2 2026-06-03T12:00',
      'cancel Task 3 2026-06-04T12:00',
    ];
    expect(words(await plan()).filter((text) => text.startsWith('cancel'))).toEqual(expected);
    expect(words(await plan({ at: later(30) })).filter((text) => text.startsWith('cancel'))).toEqual(expected);
    expect(words(await plan({ entity: Task, id: 2 }))).toEqual(['cancel Task 2 2026-06-03T12:00']);
  });

  it('sources that ask another clock, throw, or never come to an end are named, and the others go on', async () => {
    await start(Bad, Tasks);
    await insertUnseen(1);
    await insertUnseen(1);
    const planned = await plan({ at: later(1) });
    const problems = planned.filter(({ outcome }) => /fail|unreliable/.test(outcome));
    expect(problems).toEqual([
      expect.objectContaining({
        outcome: 'unreliable',
        source: 'own-clock',
        reason: expect.stringMatching(/scope.now/),
      }),
      expect.objectContaining({
        outcome: 'fail',
        source: 'throws',
        id: '1',
        reason: expect.stringMatching(/on purpose/),
      }),
      expect.objectContaining({
        outcome: 'fail',
        source: 'throws',
        reason: expect.stringMatching(/its group is empty/),
      }),
      expect.objectContaining({
        outcome: 'fail',
        source: 'endless',
        id: '1',
        reason: expect.stringMatching(/dates/),
      }),
      expect.objectContaining({ outcome: 'fail', source: 'endless', id: '2' }),
    ]);
    const keys = words(planned).join('\n');
    expect(keys).toContain('enter fine_2');
    expect(keys).toContain('enter due_2 2026-06-02T12:00');
  });

  it('a source that asks another clock only of some entities, or between two events, is named once', async () => {
    await start(OwnClocks);
    for (const days of [1, 2, 3]) await insertUnseen(days);
    const unreliable = (await plan()).filter(({ outcome }) => outcome === 'unreliable');
    expect(unreliable).toEqual([
      expect.objectContaining({ source: 'of-some' }),
      expect.objectContaining({ source: 'in-steps' }),
    ]);
  });

  it('a recheck of what failed is no date that is cancelled', async () => {
    await start(Moody);
    const moody = app.app.get(Moody);
    moody.fails = true;
    await save(1);
    const rechecks = await app.dataSource.query('SELECT attempt FROM spark_recheck');
    expect(rechecks.map((recheck: any) => Number(recheck.attempt))).toEqual([1]);
    expect((await plan()).map(({ outcome }) => outcome)).toEqual(['fail']);
    moody.fails = false;
    expect(words(await plan())).toEqual(['enter moody_1 2026-06-01T12:00']);
  });

  it('a source whose entities cannot be read is named, and the others go on', async () => {
    await start(Tasks, Unreadable);
    await save(1);
    await insertUnseen(2);
    const planned = await plan({ entity: Task, at: later(1) });
    expect(planned[0]).toMatchObject({
      outcome: 'fail',
      source: 'unreadable',
      id: undefined,
      reason: expect.stringMatching(/^its entities cannot be read: .*no_such_column/),
    });
    expect(words(planned.slice(1))).toEqual([
      'enter created_2 2026-06-01T12:00',
      'enter due_1 2026-06-02T12:00',
      'schedule due_2 2026-06-03T12:00',
    ]);
  });

  it('of one entity, or of one class', async () => {
    await start(Tasks);
    for (const days of [1, 2, 3]) await insertUnseen(days);
    expect(words(await plan({ entity: Task, id: 2 }))).toEqual([
      'enter created_2 2026-06-01T12:00',
      'schedule due_2 2026-06-03T12:00',
    ]);
    expect(await plan({ entity: Task, id: 99 })).toEqual([]);
    expect(await plan({ entity: Task })).toHaveLength(6);
  });

  it('page by page, without a write', async () => {
    await start(Tasks);
    const rows = Array.from({ length: 12_000 }, () => `(${yes()}, ${later(1).getTime()})`);
    await app.dataSource.query(`INSERT INTO task (open, due) VALUES ${rows.join(', ')}`);
    log.statements.length = 0;
    for await (const first of app.spark.plan()) {
      expect(first).toMatchObject({ outcome: 'enter', key: 'created_1' });
      break;
    }
    const reads = log.statements.length;
    expect(await plan()).toHaveLength(24_000);
    expect(log.statements.length).toBeGreaterThan(4 * reads);
    expect(log.statements.filter((sql) => /^\s*(INSERT|UPDATE|DELETE|COMMIT)/i.test(sql))).toEqual([]);
    const readOnly = log.statements.filter((sql) => sql.includes('READ ONLY')).length;
    if (database.name !== 'SQLite') expect(readOnly).toBeGreaterThan(3);
    expect(await kit.events()).toEqual([]);
  });

  it('and misuse is reported', async () => {
    await start(Tasks);
    await expect(plan({ at: new Date(kit.clock.now() - 1) })).rejects.toThrow(
      /SparkService\.plan at.*Expected: a Date that is not past/s,
    );
    await expect(plan({ at: new Date(Number.NaN) })).rejects.toThrow(/a Date that is not past/);
    await expect(plan({ id: 1 })).rejects.toThrow(/needs the entity of the id/);
    await expect(plan({ entity: Unwatched })).rejects.toThrow(/Unwatched/);
    await expect(plan({ entity: Task, id: [1, 2] })).rejects.toThrow(/every part of the id of Task/);
  });
});
