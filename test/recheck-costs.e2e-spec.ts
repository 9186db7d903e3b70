import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import {
  AbstractLogger,
  Column,
  Entity,
  type EntityManager,
  Index,
  ManyToOne,
  OneToMany,
  PrimaryColumn,
  PrimaryGeneratedColumn,
  type Relation,
} from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { DAY, HOUR, SetClock } from './support/set-clock.js';

@Entity()
class Task {
  @PrimaryColumn() id: number;
  @Column({ type: 'bigint' }) due: string;
  @OneToMany(() => Step, (step) => step.task) steps: Relation<Step>[];
}

@Entity()
class Step {
  @PrimaryGeneratedColumn() id: number;
  @Index() @ManyToOne(() => Task, (task) => task.steps) task: Relation<Task>;
}

@Injectable()
class Events {
  @EventSource(Task, { relations: { steps: true } })
  *ended({ id, due, steps }: Task) {
    yield sparkEvent('ended', id, { steps: steps.length }, { at: new Date(Number(due)) });
  }
}

/** What was asked of the table of rechecks, with its parameters. */
class RecheckLog extends AbstractLogger {
  asked: { sql: string; given: unknown[] }[] = [];

  constructor() {
    super('all');
  }

  override logQuery(sql: string, given: unknown[] = []): void {
    if (/^\s*(SELECT|DELETE)[^]*spark_recheck/.test(sql)) this.asked.push({ sql, given });
  }

  protected writeLog(): void {}
}

const TASKS = 20_000;
// To SQLite all that lies in the future is a range as well, and to MariaDB all that is of one entity.
const SCANS =
  /SCAN spark_recheck|due_at>\?(?! AND due_at<\?)|Seq Scan on spark_recheck|"table":"spark_recheck"[^}]*"rows":"?\d{4}/;

describe.each(databases)('a tick costs what is due, on $name', (database) => {
  const log = new RecheckLog();
  const clock = new SetClock();
  let db: TestDatabase;
  let app: TestApp;

  beforeAll(async () => {
    db = await database.create();
    const [entities, providers] = [[Task, Step], [Events]];
    app = await startApp({ database: db, entities, providers, clock, dataSource: { logger: log } });
    const query = app.dataSource.query.bind(app.dataSource);
    const numbers = {
      SQLite: `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ${TASKS}) SELECT n FROM s`,
      PostgreSQL: `SELECT n FROM generate_series(1, ${TASKS}) AS s(n)`,
      MariaDB: `SELECT seq AS n FROM seq_1_to_${TASKS}`,
    }[database.name];
    // The first ten are due in an hour, the others in days.
    const due = `${clock.now()} + CASE WHEN n <= 10 THEN ${HOUR} ELSE ${2 * DAY} + n END`;
    const text = database.name === 'MariaDB' ? 'CHAR' : 'text';
    await query(`INSERT INTO task (id, due) SELECT n, ${due} FROM (${numbers}) x`);
    await query(
      `INSERT INTO spark_recheck (entity, entity_id, due_at, attempt, depth)
       SELECT 'task', CAST(n AS ${text}), ${due}, 0, 0 FROM (${numbers}) x`,
    );
    await query(database.name === 'MariaDB' ? 'ANALYZE TABLE spark_recheck' : 'ANALYZE');
    log.asked = [];
  }, 60_000);

  afterAll(async () => {
    await app?.close();
    await db?.drop();
  });

  /** How the database finds what it was asked for. */
  async function plans(): Promise<string[]> {
    const { asked } = log;
    const explain = database.name === 'SQLite' ? 'EXPLAIN QUERY PLAN' : 'EXPLAIN';
    const found: string[] = [];
    for (const { sql, given } of asked) {
      const rows = await app.dataSource.query<Record<string, unknown>[]>(`${explain} ${sql}`, given);
      found.push(`${sql}\n${JSON.stringify(rows)}`);
    }
    return found;
  }

  it('takes, derives, enters and removes that, and reads the rechecks by their index', async () => {
    clock.pass(HOUR);
    await app.spark.drain();
    const asked = await plans();
    expect(asked.length).toBeGreaterThanOrEqual(2);
    expect(asked.filter((plan) => SCANS.test(plan))).toEqual([]);
    const [{ n }] = await app.dataSource.query<[{ n: string }]>('SELECT COUNT(*) AS n FROM spark_event');
    expect(Number(n)).toBe(10);
  });

  it('saves of entities with dates to come ask for these alone', async () => {
    log.asked = [];
    const tasks = await app.dataSource.manager.findBy(Task, { id: 77 });
    await app.dataSource.manager.save(Object.assign(tasks[0]!, { due: String(clock.now() + 5 * DAY) }));
    await app.spark.drain();
    const asked = await plans();
    expect(asked.length).toBeGreaterThanOrEqual(2);
    expect(asked.filter((plan) => SCANS.test(plan))).toEqual([]);
  });

  it('the watch for alerts asks for those that have been due for longest, however many are due', async () => {
    const { rechecks } = (app.spark as unknown as { spark: { rechecks: Oldest } }).spark;
    log.asked = [];
    expect(await rechecks.longestDue(app.dataSource.manager, clock.now(), 1_000)).toEqual([]);
    expect((await plans()).filter((plan) => SCANS.test(plan))).toEqual([]);
    const due = await rechecks.longestDue(app.dataSource.manager, clock.now() + 10 * DAY, 15);
    expect(due).toMatchObject([{ entity: 'task', rechecks: 15 }]);
  });
});

interface Oldest {
  longestDue(manager: EntityManager, now: number, most: number): Promise<object[]>;
}
