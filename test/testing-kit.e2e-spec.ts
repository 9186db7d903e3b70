import { Injectable } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import { randomUUID } from 'node:crypto';
import {
  eachDay,
  eachValue,
  EventSource,
  GroupHandler,
  type SourceScope,
  sparkEvent,
  type SparkEvent,
  type SparkModuleOptions,
} from 'nestjs-spark';
import { ClockBackwardsError, SourceLintError, SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { isPast } from 'date-fns';
import { Column, DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Task {
  @PrimaryGeneratedColumn() id: number;
  @Column() done: boolean;
  @Column({ type: 'bigint' }) due: string;
}

const START = Date.parse('2026-06-01T12:00:00Z');
const DAY = 86_400_000;

@Injectable()
class Tasks {
  readonly handled: string[] = [];
  fails = 0;

  constructor(private readonly clock: TestClock) {}

  @EventSource(Task)
  *events({ id, done, due }: Task, { now }: SourceScope) {
    yield sparkEvent('created', id);
    if (!done) yield sparkEvent('due', id, undefined, { at: new Date(Number(due)) });
    if (!done && now.getTime() >= Number(due) + DAY) yield sparkEvent('late', id);
  }

  @GroupHandler(/./, { name: 'notes', backoff: () => '1h' })
  note({ key }: SparkEvent) {
    this.handled.push(`${key} at ${this.clock.date.toISOString()}`);
    if (this.fails-- > 0) throw new Error('on purpose');
  }
}

describe.each(databases)('days pass in milliseconds, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let kit: SparkTestKit;
  let clock: TestClock;

  let sweep: SparkModuleOptions['sweep'];

  const start = async (...providers: any[]) => {
    clock = new TestClock(START);
    const values = [{ provide: TestClock, useValue: clock }, ...providers];
    const imports = sweep ? [ScheduleModule.forRoot()] : [];
    app = await startApp({ database: db, entities: [Task], providers: values, clock, spark: { sweep }, imports });
    kit = new SparkTestKit(app.app);
  };
  beforeEach(async () => {
    sweep = false;
    db = await database.create();
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });
  const save = (days: number) =>
    app.dataSource.manager.save(Object.assign(new Task(), { done: false, due: String(START + days * DAY) }));
  const handled = () => app.app.get(Tasks).handled;

  it('and nothing runs by itself meanwhile', async () => {
    await start(Tasks);
    await save(1);
    await delay(100);
    expect(handled()).toEqual([]);
    await kit.drain();
    expect(handled()).toEqual(['created_1 at 2026-06-01T12:00:00.000Z']);
  });

  it('through all that becomes due, in order, each at its instant', async () => {
    await start(Tasks);
    await save(2);
    await save(1);
    await kit.advance('3d');
    expect(handled()).toEqual([
      'created_1 at 2026-06-01T12:00:00.000Z',
      'created_2 at 2026-06-01T12:00:00.000Z',
      'due_2 at 2026-06-02T12:00:00.000Z',
      'due_1 at 2026-06-03T12:00:00.000Z',
    ]);
    expect(clock.date.toISOString()).toBe('2026-06-04T12:00:00.000Z');
    expect(await kit.events()).toEqual(['created_1', 'created_2', 'due_2', 'due_1']);
  });

  it('with what was moved or taken back meanwhile', async () => {
    await start(Tasks);
    const [moved, done] = [await save(1), await save(2)];
    await app.dataSource.manager.save(Object.assign(moved, { due: String(START + 3 * DAY) }));
    await kit.advance('1d');
    await app.dataSource.manager.save(Object.assign(done, { done: true }));
    await kit.advance('5d');
    expect((await kit.events()).filter((key) => key.startsWith('due'))).toEqual(['due_1']);
    expect(handled().at(-1)).toBe('due_1 at 2026-06-04T12:00:00.000Z');
  });

  it('while the application is down: what became true is caught up', async () => {
    await start(Tasks);
    await save(1);
    await save(2);
    await save(9);
    await kit.drain();
    await app.close();
    await start(Tasks);
    clock.set(START + 5 * DAY);
    await kit.drain();
    expect(await kit.events()).toEqual(['created_1', 'created_2', 'created_3', 'due_1', 'due_2', 'late_1', 'late_2']);
    expect(handled().filter((line) => line.startsWith('due'))).toEqual([
      'due_1 at 2026-06-06T12:00:00.000Z',
      'due_2 at 2026-06-06T12:00:00.000Z',
    ]);
  });

  it('through retries, and shows what became of deliveries', async () => {
    await start(Tasks);
    app.app.get(Tasks).fails = 2;
    await save(9);
    await kit.drain();
    expect(await kit.deliveries('notes')).toEqual([
      {
        key: 'created_1',
        group: 'created',
        handler: 'notes',
        state: 'available',
        attempt: 1,
        dueAt: new Date(START + 3_600_000),
        error: expect.stringContaining('on purpose'),
      },
    ]);
    await kit.advance('2h');
    expect(await kit.deliveries()).toMatchObject([{ state: 'completed', attempt: 3, error: null }]);
    expect(await kit.deliveries('others')).toEqual([]);
  });

  it('as many as one likes', async () => {
    await start(Tasks);
    await save(400);
    await kit.advance('399d');
    expect(await kit.events()).toEqual(['created_1']);
    await kit.advance('10y');
    expect(await kit.events()).toEqual(['created_1', 'due_1']);
    expect(clock.now()).toBeGreaterThan(START + 4_000 * DAY);
  });

  it('and never backwards', async () => {
    await start(Tasks);
    expect(() => clock.set(START - 1)).toThrow(ClockBackwardsError);
    await expect(kit.advance(-5)).rejects.toThrow('advance');
    await expect(kit.advanceTo('yesterday')).rejects.toThrow('instant');
    await expect(kit.advanceTo(new Date(START - 1))).rejects.toThrow(
      'The clock is at 2026-06-01T12:00:00.000Z and cannot go back',
    );
    expect(clock.now()).toBe(START);
  });

  it('only where the application goes by a TestClock', async () => {
    app = await startApp({ database: db, entities: [Task] });
    expect(() => new SparkTestKit(app.app)).toThrow('.overrideProvider(SPARK_CLOCK).useValue(clock)');
  });

  describe('and sources are linted', () => {
    const lint = async (source: any) => {
      await start(Tasks, source);
      await app.dataSource.query('DELETE FROM task');
      const insert = app.dataSource.createQueryBuilder().insert().into(Task);
      await insert.values({ done: false, due: String(START + DAY) }).execute();
      return kit.lint().then(
        () => [],
        (error: SourceLintError) => error.problems.map(({ source: name, problem }) => `${name}: ${problem}`),
      );
    };

    it('and may be as they should be', async () => {
      sweep = { interval: '1h' };
      for (const source of [Good, Momentary, Counting]) {
        expect(await lint(source)).toEqual([]);
        await app.close();
      }
      await start(Tasks);
    });
    it('for keys that differ from run to run', async () => {
      for (const source of [Unstable, Moody]) {
        const expected = new RegExp(`^${source.name}.events: it yields x_.* in one run and not in another`);
        expect(await lint(source)).toEqual([expect.stringMatching(expected)]);
        await app.close();
      }
      await start(Tasks);
    });
    it.each([
      ['millisecond', (now: Date) => now.getTime()],
      ['second', (now: Date) => now.toISOString().slice(0, 19)],
      ['minute', (now: Date) => now.toISOString().slice(0, 16)],
    ])('for keys that the time is part of, to the %s', async (unit, occurrence) => {
      class Timed {
        @EventSource(Task)
        *events({ id }: Task, { now }: SourceScope) {
          yield sparkEvent('x', id, undefined, { occurrence: occurrence(now) });
        }
      }
      const expected = new RegExp(`^Timed.events: it yields x_1@.*, and another key a ${unit} before and after`);
      expect(await lint(Timed)).toEqual([expect.stringMatching(expected)]);
    });
    it('for dates that are gone when they have come', async () => {
      const monday = (now: Date) => new Date(Math.ceil((now.getTime() + 1 - START) / DAY / 7) * 7 * DAY + START);
      class NextOnly {
        @EventSource(Task)
        *events({ id }: Task, { now }: SourceScope) {
          yield sparkEvent('x', id, undefined, { at: monday(now), occurrence: eachValue(monday(now)) });
        }
      }
      class Sliding {
        @EventSource(Task)
        *events({ id, due }: Task, { now }: SourceScope) {
          yield sparkEvent('y', id, undefined, { at: new Date(Number(due)) });
          yield sparkEvent('x', id, undefined, { at: monday(now) });
        }
      }
      const lost =
        'for 2026-06-08T12:00:00.000Z, but not any more when this date has come, so the event never happens. ';
      expect(await lint(NextOnly)).toEqual([
        expect.stringContaining(`NextOnly.events: it yields x_1@2026-06-08T12:00:00.000Z ${lost}`),
      ]);
      await app.close();
      expect(await lint(Sliding)).toEqual([expect.stringContaining(`Sliding.events: it yields x_2 ${lost}`)]);
    });
    it('for events with trueFor of a source that does not say so', async () => {
      class Undeclared {
        @EventSource(Task)
        *events({ id }: Task) {
          yield sparkEvent('x', id, undefined, { trueFor: '15m' });
        }
      }
      class Declared {
        @EventSource(Task, { trueFor: true })
        *events({ id }: Task) {
          yield sparkEvent('x', id, undefined, { trueFor: '15m' });
        }
      }
      expect(await lint(Undeclared)).toEqual([
        expect.stringContaining('Give @EventSource on Undeclared.events the option trueFor: true.'),
      ]);
      await app.close();
      expect(await lint(Declared)).toEqual([]);
    });
    it('for occurrences of the time that nothing would find', async () => {
      class Daily {
        @EventSource(Task)
        *events({ id }: Task, { now }: SourceScope) {
          yield sparkEvent('x', id, undefined, { occurrence: eachDay(now) });
        }
      }
      const expected =
        /^Daily.events: it yields x_1@2026-06-01, and another key later, but nothing runs the source then/;
      expect(await lint(Daily)).toEqual([expect.stringMatching(expected)]);
      await app.close();
      sweep = { interval: '1h' };
      expect(await lint(Daily)).toEqual([]);
    });
    it('for events that repeat, whose first instant must not move', async () => {
      class Weekly {
        @EventSource(Task)
        *events({ id, due }: Task, { now }: SourceScope) {
          yield sparkEvent('x', id, undefined, { every: '7d', from: new Date(Number(due)) });
          yield sparkEvent('y', id, undefined, { every: '@daily', from: new Date(0), until: new Date(Number(due)) });
          // It is run by what repeats.
          yield sparkEvent('z', id, undefined, { occurrence: eachDay(now) });
        }
      }
      class Moving {
        @EventSource(Task)
        *events({ id }: Task, { now }: SourceScope) {
          yield sparkEvent('x', id, undefined, { every: '7d', from: now });
        }
      }
      expect(await lint(Weekly)).toEqual([]);
      await app.close();
      const expected =
        /^Moving.events: it yields x_2 from 2026-06-01T12:00:00.000Z, and another key a millisecond before/;
      expect(await lint(Moving)).toEqual([expect.stringMatching(expected)]);
    });
    it.each([OtherClock, OtherClockOfAnother, OtherClockLater, OtherClockAwaited])(
      'for another clock: %o',
      async (source) => {
        expect(await lint(source)).toEqual([expect.stringContaining(`${source.name}.events: it reads the clock`)]);
      },
    );
    it('for entities that cannot be read, and the others go on', async () => {
      await start(Unreadable, Throwing);
      await save(1);
      const error: SourceLintError = await kit.lint().catch((thrown) => thrown);
      expect(error).toBeInstanceOf(SourceLintError);
      expect(error.message).toMatch(/^- Unreadable.events, at Task: its entities cannot be read: .*no_such_column/m);
      expect(error.message).toMatch(/^- Throwing.events, at Task 1: it throws/m);
    });
    it('for events that cannot be entered', async () => {
      class Refused {
        @EventSource(Task)
        *events({ id }: Task) {
          yield sparkEvent('x', id, undefined, { at: '2026-06-05' as never });
        }
      }
      const expected = /^Refused.events: it yields an event that cannot be entered: its at is "2026-06-05", not a Date/;
      expect(await lint(Refused)).toEqual([expect.stringMatching(expected)]);
    });
    it('for a key that two entities yield', async () => {
      class Same {
        @EventSource(Task)
        *events() {
          yield sparkEvent('x', 'same');
        }
      }
      await start(Same);
      await save(1);
      await save(2);
      const error: SourceLintError = await kit.lint().catch((thrown) => thrown);
      expect(error.problems).toEqual([
        { source: 'Same.events', entity: 'Task 2', problem: expect.stringMatching(/^it yields x_same, .* for Task 1/) },
      ]);
    });
    it('for what they throw', async () => {
      expect(await lint(Throwing)).toEqual(['Throwing.events: it throws: Error: out of order']);
    });
    it('for no end', async () => {
      expect(await lint(Endless)).toEqual([expect.stringMatching(/^Endless.events: it throws: .*1,?000/)]);
    });
  });
});

class Good {
  @EventSource(Task)
  async *events({ id, due }: Task, { now }: SourceScope) {
    await delay(1);
    yield sparkEvent('x', id, undefined, { at: new Date(Number(due)), occurrence: now.getUTCFullYear() });
  }
}
class Unstable {
  @EventSource(Task)
  *events() {
    yield sparkEvent('x', randomUUID());
  }
}
class Moody {
  private runs = 0;

  @EventSource(Task)
  *events({ id }: Task) {
    if (++this.runs % 2 === 0) yield sparkEvent('x', id);
  }
}
class Unreadable {
  @EventSource(Task, { query: (qb) => qb.andWhere('no_such_column = 1') })
  *events() {}
}
/** What comes and goes with the time, right here and now. */
class Momentary {
  @EventSource(Task)
  *events({ id }: Task, { now }: SourceScope) {
    if (now.getTime() > START) yield sparkEvent('x', id);
    if (now.getTime() < START) yield sparkEvent('y', id);
    yield sparkEvent('z', id, undefined, { occurrence: eachDay(now, 'Etc/GMT+12') });
    yield sparkEvent('v', id, undefined, { occurrence: eachValue(now.getTime() > START) });
  }
}
/** Its statement has the drivers ask the clock. */
@Injectable()
class Counting {
  constructor(private readonly dataSource: DataSource) {}
  @EventSource(Task, { batch: true })
  async events(tasks: Task[]) {
    const count = await this.dataSource.manager.count(Task);
    return tasks.map(({ id }) => sparkEvent('x', [id, count]));
  }
}
class Throwing {
  @EventSource(Task)
  async events(): Promise<SparkEvent[]> {
    throw new Error('out of order');
  }
}
class OtherClock {
  @EventSource(Task)
  *events({ id, due }: Task) {
    if (new Date() > new Date(Number(due))) yield sparkEvent('x', id);
  }
}
class OtherClockOfAnother {
  @EventSource(Task)
  *events({ id }: Task) {
    yield sparkEvent('x', id);
    if (Date() === 'never') yield sparkEvent('y', id);
  }
}
class OtherClockLater {
  @EventSource(Task)
  async *events({ id }: Task) {
    yield sparkEvent('x', id);
    if (Date.now() === 0) yield sparkEvent('y', id);
  }
}
class OtherClockAwaited {
  @EventSource(Task, { batch: true })
  async events([task]: Task[]) {
    await delay(1);
    return isPast(Number(task!.due)) ? [sparkEvent('x', task!.id)] : [];
  }
}
class Endless {
  @EventSource(Task)
  *events() {
    for (let i = 0; ; i++) yield sparkEvent('x', i);
  }
}
