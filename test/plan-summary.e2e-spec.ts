import { type DynamicModule, Injectable } from '@nestjs/common';
import {
  EventSource,
  GroupHandler,
  InvalidOptionsError,
  type Planned,
  type PlanSummary,
  sparkEvent,
  type SparkModuleOptions,
} from 'nestjs-spark';
import { TestClock } from 'nestjs-spark/testing';
import {
  ChildEntity,
  Column,
  DeleteDateColumn,
  Entity,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  TableInheritance,
} from 'typeorm';
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
  @Column({ type: 'int', default: 0 }) kind: number;
}

@Entity()
class Part {
  @PrimaryColumn() a: number;
  @PrimaryColumn() b: number;
  @Column() state: string;
  @DeleteDateColumn() deletedAt: Date | null;
}

const readable = (text: string) => {
  if (text === 'broken') throw new Error('a value that cannot be read');
  return text;
};

@Entity()
class Note {
  @PrimaryColumn() id: number;
  @Column({ transformer: { to: (text: string) => text, from: readable } }) text: string;
}

@Entity()
@TableInheritance({ column: { type: 'varchar', name: 'type' } })
class Animal {
  @PrimaryColumn() id: number;
}
@ChildEntity()
class Dog extends Animal {}
@ChildEntity()
class Cat extends Animal {}

@Injectable()
class Tasks {
  @EventSource(Task, { name: 'tasks' })
  *events({ id, open, due, kind }: Task) {
    yield sparkEvent('created', id);
    if (open) yield sparkEvent('due', id, {}, { at: new Date(Number(due)) });
    yield sparkEvent(`kind ${kind}`, id);
    // Entities of several pages share it.
    yield sparkEvent('hundreds', Math.floor(id / 700));
  }

  @EventSource(Task, { name: 'open', where: { open: true }, trueFor: true })
  *open({ id }: Task) {
    yield sparkEvent('open for long', id, {}, { trueFor: '2h' });
  }

  @EventSource(Task, { name: 'weekly', live: false })
  *weekly({ id, due }: Task) {
    yield sparkEvent('weekly', id, {}, { every: '7d', from: new Date(Number(due)) });
  }

  @EventSource(Task, { name: 'batch', batch: true, query: (qb) => qb.andWhere(`${qb.alias}.kind > 0`) })
  batch(tasks: Task[]) {
    // The other source yields it first.
    return tasks.flatMap(({ id }) => [sparkEvent('counted', id), sparkEvent('created', id)]);
  }

  @GroupHandler(/./, { name: 'all' }) all() {}
  @GroupHandler(/^(created|due)$/, { name: 'mails' }) mail() {}
}

@Injectable()
class Parts {
  @EventSource(Part, { name: 'parts', where: { state: 'used' } })
  *parts({ a, b }: Part) {
    yield sparkEvent('used', [a, b]);
  }
}

@Injectable()
class LivingParts {
  @EventSource(Part, { name: 'living' })
  *living({ a, b }: Part) {
    yield sparkEvent('living', [a, b]);
  }
}

@Injectable()
class DeletedParts {
  @EventSource(Part, { name: 'deleted', withDeleted: true })
  *deleted({ a, b, deletedAt }: Part) {
    if (deletedAt) yield sparkEvent('deleted', [a, b]);
  }
}

@Injectable()
class Animals {
  @EventSource(Animal, { name: 'animals' })
  *animals({ id }: Animal) {
    yield sparkEvent('animal', id);
  }

  @EventSource(Dog, { name: 'dogs' })
  *dogs({ id }: Dog) {
    yield sparkEvent('dog', id);
  }
}

@Injectable()
class Notes {
  @EventSource(Note, { name: 'notes' })
  *notes({ id, text }: Note) {
    if (text === 'throws') throw new Error(`the note ${id} is empty`);
    if (text === 'other') throw new Error('another reason');
    if (text === 'clock' && Date.now() > 0) yield sparkEvent('late', id);
    yield sparkEvent('noted', id, text === 'refused' ? { text: () => undefined } : {});
  }
}

@Injectable()
class OtherNotes {
  @EventSource(Note, { name: 'others' })
  *others({ id }: Note) {
    yield sparkEvent('other', id);
  }
}

/** The same source under another name. */
@Injectable()
class RenamedNotes {
  @EventSource(Note, { name: 'renamed', aliases: ['others'] })
  *others({ id }: Note) {
    yield sparkEvent('other', id);
  }

  @EventSource(Note, { name: 'silent', history: 'silent' })
  *silent({ id }: Note) {
    yield sparkEvent('silent', id);
  }

  @GroupHandler(/./, { name: 'all' }) all() {}
}

@Injectable()
class UnreadableNotes {
  @EventSource(Note, { name: 'unreadable', query: (qb) => qb.andWhere('no_such_column = 1') })
  *events() {}
}

@Injectable()
class HangingNotes {
  readonly seen = new Set<number>();

  @EventSource(Note, { name: 'hanging', timeout: '20ms' })
  async events({ id }: Note) {
    this.seen.add(id);
    await new Promise(() => {});
    return [];
  }
}

const REST = Symbol.for('nestjs-spark.rest');
/** As a command boots an application. */
const AT_REST: DynamicModule = {
  module: class {},
  global: true,
  providers: [{ provide: REST, useValue: { registersSources: false } }],
  exports: [REST],
};

describe.each(databases)('the summary of a plan, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let log: QueryLog;
  let clock: TestClock;

  beforeEach(async () => {
    db = await database.create();
    clock = new TestClock('2026-06-01T12:00:00Z');
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const start = async (providers: any[], spark: SparkModuleOptions = {}) => {
    log = new QueryLog();
    app = await startApp({
      database: db,
      entities: [Task, Part, Note, Animal, Dog, Cat],
      providers,
      spark,
      clock,
      dataSource: { logger: log },
    });
  };
  const sql = (statement: string) => app.dataSource.query(statement);
  const yes = (is: boolean) => (database.name === 'PostgreSQL' ? String(is) : String(Number(is)));
  const insertTasks = (count: number, of: (i: number) => { days: number; open?: boolean; kind?: number }) => {
    const rows = Array.from({ length: count }, (_, i) => {
      const { days, open = true, kind = 0 } = of(i);
      return `(${yes(open)}, ${clock.now() + days * DAY}, ${kind})`;
    });
    return sql(`INSERT INTO task (open, due, kind) VALUES ${rows.join(', ')}`);
  };
  const insertNotes = (texts: readonly string[]) =>
    sql(`INSERT INTO note (id, text) VALUES ${texts.map((text, i) => `(${i + 1}, '${text}')`).join(', ')}`);
  const plan = async (options: Parameters<typeof app.spark.plan>[0] = {}) => {
    const planned: Planned[] = [];
    for await (const one of app.spark.plan(options)) planned.push(one);
    return planned;
  };

  /** What a summary says of each group, in words. */
  const words = ({ groups }: PlanSummary) =>
    groups
      .map(({ source, group, enter, later, schedule, handlers }) => {
        const deliveries = handlers.map((one) => `${one.handler} ${one.deliveries}`).sort();
        return [source, group, enter, later, schedule, ...deliveries].join(' | ');
      })
      .sort();
  /** The same, counted from what a plan yields. */
  const wordsOf = (planned: readonly Planned[]) => {
    const groups = new Map<string, { counts: number[]; handlers: Map<string, number> }>();
    for (const one of planned) {
      if (!('key' in one)) continue;
      const name = `${one.source} | ${one.group}`;
      const { counts, handlers } = groups.get(name) ?? { counts: [0, 0, 0], handlers: new Map<string, number>() };
      groups.set(name, { counts, handlers });
      const column = one.outcome === 'schedule' ? 2 : Number(one.at.getTime() > clock.now());
      counts[column]!++;
      for (const handler of one.handlers) handlers.set(handler, (handlers.get(handler) ?? 0) + Number(column < 2));
    }
    return [...groups]
      .map(([name, { counts, handlers }]) =>
        [name, ...counts, ...[...handlers].map(([handler, n]) => `${handler} ${n}`).sort()].join(' | '),
      )
      .sort();
  };
  const rowsOf = async (statement: string): Promise<string[]> => {
    const rows: object[] = await sql(statement);
    return rows.map((row) => Object.values(row).map(String).join(' | ')).sort();
  };

  /** Entities of three pages, of which some are known, and some have a condition. */
  const manyTasks = async () => {
    await insertTasks(300, (i) => ({ days: (i % 20) - 10, open: i % 3 > 0, kind: i % 4 }));
    await app.spark.sweep();
    clock.set(clock.now() + HOUR);
    await insertTasks(900, (i) => ({ days: ((i * 7_919) % 40) / 4 - 5, open: i % 5 > 0, kind: (i * 31) % 6 }));
    await sql(`UPDATE task SET kind = 7 WHERE id % 50 = 0`);
  };

  it('counts exactly what the plan lists, now and up to an instant', async () => {
    await start([Tasks]);
    await manyTasks();
    for (const at of [undefined, new Date(clock.now() + 2.6 * DAY)]) {
      const summary = await app.spark.plan({ summary: true, at });
      const listed = await plan({ at });
      expect(words(summary)).toEqual(wordsOf(listed));
      const { total, groups } = summary;
      expect(total.enter + total.later + total.schedule).toBe(listed.filter((one) => 'key' in one).length);
      expect(total.enter).toBeGreaterThan(3_000);
      expect(total.later > 0).toBe(at !== undefined);
      expect(total.schedule).toBeGreaterThan(900);
      expect(groups.map(({ enter }) => enter)).toEqual(groups.map(({ enter }) => enter).sort((a, b) => b - a));
      expect(summary.at).toEqual(at ?? new Date(clock.now()));
      expect(summary.durationMs).toBeGreaterThan(0);
    }
  });

  it('counts exactly what a sweep enters then, and the deliveries that it opens', async () => {
    await start([Tasks]);
    await manyTasks();
    const summary = await app.spark.plan({ summary: true });
    await sql('DELETE FROM spark_delivery');
    const before = Number((await sql('SELECT MAX(id) AS last FROM spark_event'))[0].last);
    const report = await app.spark.sweep();
    expect(summary.total.enter).toBe(report.entered);
    expect(summary.read).toBe(report.subjects);
    const entered = summary.groups.filter(({ enter }) => enter > 0);
    expect(
      await rowsOf(
        `SELECT source, event_group, COUNT(*) FROM spark_event WHERE id > ${before} GROUP BY source, event_group`,
      ),
    ).toEqual(entered.map(({ source, group, enter }) => [source, group, enter].join(' | ')).sort());
    const deliveries = await rowsOf(
      'SELECT e.event_group, d.handler, COUNT(*) FROM spark_delivery d JOIN spark_event e ON e.id = d.event_id GROUP BY e.event_group, d.handler',
    );
    expect(deliveries).toEqual(
      entered
        .flatMap(({ group, handlers }) => handlers.map((one) => [group, one.handler, one.deliveries].join(' | ')))
        .sort(),
    );
    expect(summary.total.deliveries).toBe(Number((await sql('SELECT COUNT(*) AS n FROM spark_delivery'))[0].n));
    const next = await app.spark.plan({ summary: true });
    expect(next.total).toMatchObject({ enter: 0, deliveries: 0, held: 0 });
  });

  it('counts the rows of a where, those that are deleted softly, and composite keys', async () => {
    const rows = Array.from({ length: 1_300 }, (_, i) => {
      const deleted = i % 7 === 0 ? `'2026-05-01 00:00:00'` : 'NULL';
      return `(${Math.floor(i / 100)}, ${i % 100}, '${i % 2 ? 'used' : 'new'}', ${deleted})`;
    });
    const counts: number[][] = [];
    for (const providers of [[Parts], [DeletedParts], [LivingParts, Parts, DeletedParts]]) {
      if (app) await app.close();
      await start(providers);
      if (counts.length === 0)
        await sql(
          `INSERT INTO part (a, b, state, ${app.dataSource.driver.escape('deletedAt')}) VALUES ${rows.join(', ')}`,
        );
      const { total, read } = await app.spark.plan({ summary: true });
      counts.push([total.enter, read]);
      expect((await plan()).length).toBe(total.enter);
    }
    const used = rows.filter((row) => row.includes('used') && row.includes('NULL')).length;
    const deleted = rows.filter((row) => !row.includes('NULL')).length;
    const living = rows.length - deleted;
    expect(counts).toEqual([
      [used, used],
      [deleted, 1_300],
      [living + used + deleted, living + used + 1_300],
    ]);
    expect((await app.spark.sweep()).entered).toBe(living + used + deleted);
  });

  it('counts the rows of one class of a table', async () => {
    await start([Animals]);
    const rows = Array.from({ length: 2_000 }, (_, i) => `(${i + 1}, '${i % 4 === 0 ? 'Dog' : 'Cat'}')`);
    await sql(`INSERT INTO animal (id, type) VALUES ${rows.join(', ')}`);
    expect(words(await app.spark.plan({ summary: true, entity: Dog }))).toEqual([
      'animals | animal | 500 | 0 | 0',
      'dogs | dog | 500 | 0 | 0',
    ]);
    expect(words(await app.spark.plan({ summary: true }))).toEqual([
      'animals | animal | 2000 | 0 | 0',
      'dogs | dog | 500 | 0 | 0',
    ]);
    const listed = await plan({ entity: Dog });
    expect(new Set(listed.map((one) => ('id' in one ? Number(one.id) % 4 : undefined)))).toEqual(new Set([1]));
  });

  describe('the deliveries', () => {
    const limit = 10;
    const states = (summary: PlanSummary) =>
      summary.groups
        .filter(({ enter }) => enter > 0)
        .map(({ group, deliveries }) => `${group} | ${deliveries}`)
        .sort();
    const statesAfterwards = () =>
      rowsOf(`SELECT DISTINCT e.event_group, d.state FROM spark_delivery d JOIN spark_event e ON e.id = d.event_id`);

    it('are held of groups that are new and many, as the sweep then holds them', async () => {
      await start([Tasks], { activation: { limit } });
      await insertTasks(2, () => ({ days: 30, open: false, kind: 1 }));
      await app.spark.sweep();
      await sql('DELETE FROM spark_delivery');
      await insertTasks(limit + 1, () => ({ days: 30, open: false, kind: 1 }));
      await insertTasks(limit + 1, () => ({ days: 30, open: false, kind: 2 }));
      await insertTasks(limit, () => ({ days: 30, open: false, kind: 3 }));
      const summary = await app.spark.plan({ summary: true });
      expect(states(summary)).toEqual([
        'counted | available',
        'created | available',
        'kind 1 | available',
        'kind 2 | held',
        'kind 3 | available',
      ]);
      expect(summary.total.held).toBe(limit + 1);
      expect((await app.spark.sweep()).held).toBe(limit + 1);
      expect(await statesAfterwards()).toEqual(states(summary));
    });

    it('are those of a boot that registers the sources, if the application rests and registers none', async () => {
      const held = { activation: { limit: 2 } };
      await start([OtherNotes], held);
      await insertNotes(['a', 'b', 'c']);
      await app.spark.sweep();
      await sql(`INSERT INTO note (id, text) VALUES (4, 'd'), (5, 'e'), (6, 'f')`);
      await app.close();
      app = await startApp({
        database: db,
        entities: [Note],
        providers: [RenamedNotes],
        imports: [AT_REST],
        spark: held,
        clock,
      });
      const summary = await app.spark.plan({ summary: true });
      // A group that is known by the former name of its source is not new, and the past of a silent source is for nobody.
      expect(states(summary)).toEqual(['other | available', 'silent | discarded']);
      expect(await rowsOf('SELECT source, code FROM spark_sweep')).toHaveLength(1);
      await app.close();
      await start([RenamedNotes], held);
      expect(await app.spark.plan({ summary: true })).toEqual({ ...summary, durationMs: expect.any(Number) });
    });

    it('are counted with those that are held already', async () => {
      await start([Tasks], { activation: { limit } });
      await insertTasks(limit - 2, () => ({ days: 30, open: false, kind: 2 }));
      // It does not end the first sweep.
      await app.spark.sweep({ entity: Task, to: 4 });
      const summary = await app.spark.plan({ summary: true });
      // Two handlers match created: 8 are held, and 8 come. Neither is above the limit.
      expect(states(summary)).toEqual(['counted | available', 'created | held', 'kind 2 | available']);
      expect(summary.total).toMatchObject({ enter: 12, deliveries: 16, held: 8 });
      await app.spark.sweep();
      expect(await statesAfterwards()).toEqual([...states(summary), 'hundreds | available'].sort());
    });
  });

  it('has samples, and when the first and the last happens', async () => {
    await start([Tasks]);
    await insertTasks(8, (i) => ({ days: i - 3 }));
    const in2Days = new Date(clock.now() + 2 * DAY);
    const { groups } = await app.spark.plan({ summary: true, at: in2Days });
    const due = groups.find(({ group }) => group === 'due')!;
    expect(due).toMatchObject({ entity: 'Task', source: 'tasks', enter: 4, later: 2, schedule: 2 });
    expect(due.first).toEqual(new Date(clock.now() - 3 * DAY));
    expect(due.last).toEqual(new Date(clock.now() + 4 * DAY));
    expect(due.samples).toHaveLength(5);
    expect(due.samples[0]).toEqual({
      outcome: 'enter',
      source: 'tasks',
      entity: 'Task',
      id: '1',
      group: 'due',
      key: 'due_1',
      at: new Date(clock.now()),
      eventAt: new Date(clock.now() - 3 * DAY),
      handlers: expect.arrayContaining(['all', 'mails']),
    });
    const created = groups.find(({ group }) => group === 'created')!;
    expect([created.first, created.last]).toEqual([new Date(clock.now()), new Date(clock.now())]);
    const open = groups.find(({ group }) => group === 'open for long')!;
    expect(open).toMatchObject({ enter: 0, later: 8, schedule: 0, first: new Date(clock.now() + 2 * HOUR) });
  });

  it('has the problems, those of one kind once', async () => {
    await start([Notes, OtherNotes]);
    const texts: string[] = Array.from({ length: 1_100 }, (_, i) => (i < 1_000 ? 'fine' : 'throws'));
    texts.splice(10, 4, 'broken', 'refused', 'other', 'clock');
    await insertNotes(texts);
    const { problems, total, read, groups } = await app.spark.plan({ summary: true });
    const said = problems.map(({ outcome, source, count, sample }) => [
      outcome,
      source,
      count,
      sample.id,
      sample.reason,
    ]);
    expect(said).toEqual([
      ['fail', 'notes', 1, '11', expect.stringMatching(/^the entity cannot be read: .*a value that cannot be read/)],
      ['fail', 'others', 1, '11', expect.stringMatching(/^the entity cannot be read/)],
      ['unreliable', 'notes', 1, undefined, expect.stringMatching(/scope\.now/)],
      ['fail', 'notes', 1, '13', 'Error: another reason'],
      ['fail', 'notes', 1, '12', expect.stringMatching(/context/)],
      ['fail', 'notes', 100, '1001', 'Error: the note 1001 is empty'],
    ]);
    expect(problems[0]).toMatchObject({ entity: 'Note', sample: { outcome: 'fail', entity: 'Note' } });
    expect(groups.map(({ group, enter }) => [group, enter])).toEqual([
      ['other', 1_099],
      ['noted', 997],
      ['late', 1],
    ]);
    expect(total.enter).toBe(1_099 + 997 + 1);
    expect(read).toBe(2 * 1_099);
  });

  it('names a source that cannot be read once, if it is the only one, too', async () => {
    await start([UnreadableNotes, Parts]);
    await insertNotes(Array.from({ length: 1_100 }, () => 'fine'));
    await sql(`INSERT INTO part (a, b, state) VALUES (1, 1, 'used')`);
    const { problems, total } = await app.spark.plan({ summary: true });
    expect(problems).toEqual([
      expect.objectContaining({
        outcome: 'fail',
        source: 'unreadable',
        count: 1,
        sample: expect.objectContaining({
          id: undefined,
          reason: expect.stringMatching(/^its entities cannot be read/),
        }),
      }),
    ]);
    expect(total.enter).toBe(1);
  });

  it('goes on without a source that hangs', async () => {
    await start([HangingNotes, OtherNotes]);
    await insertNotes(Array.from({ length: 4_000 }, () => 'fine'));
    const { total, problems } = await app.spark.plan({ summary: true });
    expect(total.enter).toBe(4_000);
    expect(problems).toEqual([expect.objectContaining({ outcome: 'fail', source: 'hanging' })]);
    expect(Math.max(...app.app.get(HangingNotes).seen)).toBeLessThan(3_000);
  });

  it('writes nothing, tells how far it is, and reads a page by one statement', async () => {
    await start([OtherNotes]);
    await insertNotes(Array.from({ length: 2_600 }, () => 'fine'));
    log.statements.length = 0;
    const progress: number[] = [];
    const summary = await app.spark.plan({ summary: true, onProgress: (read) => progress.push(read) });
    expect(summary).toMatchObject({ read: 2_600, total: { enter: 2_600 } });
    expect(progress).toEqual([500, 1_000, 1_500, 2_000, 2_500, 2_600]);
    const kinds = (pattern: RegExp) => log.statements.filter((statement) => pattern.test(statement));
    expect(kinds(/^\s*(INSERT|UPDATE|DELETE|REPLACE|COMMIT|CREATE|ALTER|DROP)/i)).toEqual([]);
    expect(kinds(/FROM .?note.? /i)).toHaveLength(6);
    // Another process may write meanwhile.
    if (database.name === 'SQLite') expect(kinds(/^\s*(BEGIN|START|SAVEPOINT)/i)).toEqual([]);
    else expect(kinds(/READ ONLY/)).toHaveLength(6);
    expect(await sql('SELECT id FROM spark_event')).toEqual([]);
    expect(await sql('SELECT source FROM spark_sweep WHERE round > 0')).toEqual([]);
  });

  it('ends when its signal says so, between two pages', async () => {
    await start([OtherNotes]);
    await insertNotes(Array.from({ length: 5_000 }, () => 'fine'));
    const ending = new AbortController();
    const reason = new Error('not wanted any more');
    let last = 0;
    const onProgress = (read: number) => {
      last = read;
      if (read === 1_000) ending.abort(reason);
    };
    await expect(app.spark.plan({ summary: true, signal: ending.signal, onProgress })).rejects.toBe(reason);
    expect(last).toBe(1_000);
    await expect(app.spark.plan({ summary: true, signal: ending.signal })).rejects.toBe(reason);
    expect((await app.spark.plan({ summary: true })).total.enter).toBe(5_000);
  });

  it('and a plan of single events ends by a signal between two pages, too', async () => {
    await start([OtherNotes]);
    await insertNotes(Array.from({ length: 5_000 }, () => 'fine'));
    const ending = new AbortController();
    const reason = new Error('enough');
    const read: number[] = [];
    const onProgress = (rows: number) => {
      read.push(rows);
      if (rows === 1_000) ending.abort(reason);
    };
    let planned = 0;
    const consume = async () => {
      for await (const one of app.spark.plan({ signal: ending.signal, onProgress })) if ('key' in one) planned++;
    };
    await expect(consume()).rejects.toBe(reason);
    expect([planned, read]).toEqual([1_000, [500, 1_000]]);
    await expect(consume()).rejects.toBe(reason);
    expect(planned).toBe(1_000);
  });

  it('and misuse is reported', async () => {
    await start([OtherNotes]);
    // oxlint-disable-next-line vitest/valid-expect -- the matcher follows in each line
    const misused = (options: object) => expect(app.spark.plan({ summary: true, ...options } as never)).rejects;
    await misused({ entity: Note, id: 1 }).toThrow(/SparkService\.plan \{ id \} is 1\. Expected: no id beside summary/);
    await misused({ entity: Note, id: 1 }).toBeInstanceOf(InvalidOptionsError);
    await misused({ at: new Date(clock.now() - 1) }).toThrow(/a Date that is not past/);
    await misused({ entity: Task }).toThrow(/Task/);
    await misused({ onProgress: 1 }).toThrow(/a function/);
    await misused({ signal: {} }).toThrow(/an AbortSignal/);
    await misused({ ids: [1] }).toThrow(/SparkService\.plan \{ ids \} is unknown/);
    await expect(plan({ summary: 1 } as never)).rejects.toThrow(/true or false/);
    await expect(plan({ signal: {} as AbortSignal })).rejects.toThrow(/an AbortSignal/);
  });
});
