import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, SparkModule, sparkEvent } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

const MANY = 700;
const CLAIMED = 100;
// What takes longer than that lets other work run in between. In milliseconds.
const LONG = 11;

/** Work that takes long, as far as the process's clock says: items of it, and how many there were between two rounds of the event loop. */
class Work {
  // Time does not go back, from one test to the next either.
  private static passed = 0;
  private sinceRound = 0;
  private most = 0;
  private items = 0;

  constructor() {
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + Work.passed);
  }

  item(): void {
    Work.passed += LONG;
    this.items++;
    this.most = Math.max(this.most, ++this.sinceRound);
  }

  /** How many items some work has, and the most of them without a round of the event loop between. */
  async during(run: () => Promise<unknown>): Promise<{ items: number; most: number }> {
    let over = false;
    const onRound = () => {
      this.sinceRound = 0;
      if (!over) setImmediate(onRound);
    };
    onRound();
    this.items = this.most = 0;
    await run();
    over = true;
    return { items: this.items, most: this.most };
  }
}

@Entity()
class Task {
  @PrimaryColumn() id: number;
  @Column({ type: 'bigint', nullable: true }) due: string | null;
}

describe.each(databases)('timers run in between, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let kit: SparkTestKit;
  let work: Work;
  /** Which part of the work is the one that takes long. */
  let long: 'source' | 'context' | undefined;
  const clock = new TestClock();

  @Injectable()
  class Sources {
    @EventSource(Task, { name: 'tasks' }) *tasks({ id, due }: Task) {
      if (long === 'source') work.item();
      if (due !== null) yield sparkEvent('due', id, context(id), { at: new Date(Number(due)) });
    }
  }
  @Injectable()
  class Handlers {
    @GroupHandler(/^due$/, { name: 'due' }) due() {}
  }

  const context = (id: number) => ({
    marked: MARK,
    get id() {
      if (long === 'context') work.item();
      return id;
    },
  });

  beforeEach(async () => {
    long = undefined;
    work = new Work();
    db = await database.create();
    const providers = [Sources, Handlers];
    const spark = SparkModule.forRoot({ worker: { concurrency: CLAIMED } });
    app = await startApp({ database: db, entities: [Task], providers, clock, spark });
    kit = new SparkTestKit(app.app);
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await app.close();
    await db.drop();
  });

  const ids = Array.from({ length: MANY }, (_, i) => i + 1);
  const insert = (due: number) =>
    app.dataSource.query(`INSERT INTO task (id, due) VALUES ${ids.map((id) => `(${id}, ${due})`).join()}`);

  it.each(['source', 'context'] as const)('in a sweep whose %s takes long', async (part) => {
    await insert(clock.now());
    long = part;
    expect(await work.during(() => app.spark.sweep())).toEqual({ items: MANY, most: 1 });
  });

  it.each(['source', 'context'] as const)('in a save of many rows whose %s takes long', async (part) => {
    long = part;
    const tasks = ids.map((id) => ({ id, due: String(clock.now()) }));
    expect(await work.during(() => app.dataSource.manager.save(Task, tasks))).toEqual({ items: MANY, most: 1 });
  });

  it.each(['source', 'context'] as const)('in a tick with many rechecks whose %s takes long', async (part) => {
    const due = clock.now() + 60_000;
    await app.dataSource.manager.save(
      Task,
      ids.map((id) => ({ id, due: String(due) })),
    );
    long = part;
    expect(await work.during(() => kit.advance('1m'))).toEqual({ items: MANY, most: 1 });
  });

  it('while contexts of a claim are read that take long', async () => {
    await app.spark.emit(ids.slice(0, CLAIMED).map((id) => sparkEvent('due', id, { marked: MARK })));
    const parse = JSON.parse.bind(JSON);
    vi.spyOn(JSON, 'parse').mockImplementation((text: string, ...rest) => {
      if (text.includes(MARK)) work.item();
      return parse(text, ...rest) as unknown;
    });
    // Once for what it needs, and once for what the handler gets.
    expect(await work.during(() => kit.drain())).toEqual({ items: 2 * CLAIMED, most: 1 });
  });
});

const MARK = 'a context that is known when it is read';
