import { Injectable } from '@nestjs/common';
import fc from 'fast-check';
import { EventSource, type SourceScope, sparkEvent } from 'nestjs-spark';
import { Column, type DataSource, Entity, PrimaryColumn, type QueryRunner } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { Crash } from './support/crash.js';
import { databases, type TestDatabase } from './support/databases.js';
import { rounds } from './support/rounds.js';

@Entity()
class Item {
  @PrimaryColumn() id: number;
  @Column() state: string;
}

const keyOf = ({ id, state }: Item): string => `item_${id}-${state}`;

/** How the source reads items: some states make it ask for the time, or fail. */
@Injectable()
class Items {
  @EventSource(Item, { name: 'items' })
  *items(item: Item, scope: SourceScope) {
    if (item.state === 'asks' && scope.now.getTime() < 0) return;
    yield sparkEvent('item', `${item.id}-${item.state}`);
  }
}

const CONNECTIONS = 3;
const STATES = ['a', 'b', 'c', 'd', 'asks'];

const connection = fc.nat(CONNECTIONS - 1);
const id = fc.integer({ min: 1, max: 12 });
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      by: connection,
      id,
      state: fc.constantFrom(...STATES),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), by: connection, id }) },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constantFrom('begin', 'savepoint', 'back', 'commit', 'rollback'), by: connection }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('sweep' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('beside' as const), by: connection }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('kill' as const), statements: fc.integer({ min: 3, max: 40 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('forget' as const), id }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('freeze', 'full', 'version') }) },
) as fc.Arbitrary<Step>;

type Step =
  | { kind: 'write'; by: number; id: number; state: string }
  | { kind: 'delete'; by: number; id: number }
  | { kind: 'begin' | 'savepoint' | 'back' | 'commit' | 'rollback' | 'beside'; by: number }
  | { kind: 'sweep' | 'freeze' | 'full' }
  | { kind: 'version' }
  | { kind: 'kill'; statements: number }
  | { kind: 'forget'; id: number };

/** A connection of another program, which writes by raw SQL. */
class Program {
  private depth = 0;
  private readonly written = new Set<number>();

  constructor(
    private readonly runner: QueryRunner,
    /** The rows that open transactions have written, by program. Nobody waits for a lock. */
    private readonly locks: Map<number, Program>,
  ) {}

  async write(row: number, sql: string): Promise<void> {
    if ((this.locks.get(row) ?? this) !== this) return;
    await this.runner.query(sql);
    if (this.depth > 0) {
      this.locks.set(row, this);
      this.written.add(row);
    }
  }

  async transaction(kind: 'begin' | 'savepoint' | 'back' | 'commit' | 'rollback'): Promise<void> {
    if (kind === 'begin' && this.depth === 0) this.depth = await this.run('BEGIN', 1);
    else if (kind === 'savepoint' && this.depth > 0)
      this.depth = await this.run(`SAVEPOINT s${this.depth}`, this.depth + 1);
    else if (kind === 'back' && this.depth > 1)
      this.depth = await this.run(`ROLLBACK TO s${this.depth - 1}`, this.depth);
    else if ((kind === 'commit' || kind === 'rollback') && this.depth > 0) {
      this.depth = await this.run(kind.toUpperCase(), 0);
      for (const row of this.written) this.locks.delete(row);
      this.written.clear();
    }
  }

  private async run(sql: string, depth: number): Promise<number> {
    await this.runner.query(sql);
    return depth;
  }
}

describe.each(databases.filter(({ name }) => name === 'PostgreSQL'))(
  'after each sweep, the ledger has what a sweep of all rows would find, on $name',
  (database) => {
    let db: TestDatabase;
    let app: TestApp;
    let direct: DataSource;
    const tally = { changed: 0, all: 0, passedOver: 0, killed: 0 };

    const start = (version: string) =>
      startApp({
        database: db,
        entities: [Item],
        providers: [Items],
        spark: { version, worker: { pollInterval: '1h' } },
      });

    beforeAll(async () => {
      db = await database.create();
      app = await start('1');
      direct = app.dataSource;
    });
    afterAll(async () => {
      await app.close();
      await db.drop();
    });

    it('whatever others write, in whatever transactions, whatever is killed', async () => {
      const history = fc.array(step, { minLength: 20, maxLength: 60 });
      await fc.assert(fc.asyncProperty(history, play), { numRuns: rounds(40, 120), endOnFailure: true });
      console.info('sweeps', JSON.stringify(tally));
      // A history in which no row was passed over proves nothing.
      expect(tally.changed).toBeGreaterThan(rounds(40, 120));
      expect(tally.passedOver).toBeGreaterThan(tally.changed);
      expect(tally.killed).toBeGreaterThan(0);
    }, 1_200_000);

    async function play(steps: readonly Step[]): Promise<void> {
      for (const table of ['item', 'spark_event', 'spark_sweep', 'spark_sweep_range', 'spark_group'])
        await direct.query(`DELETE FROM ${table}`);
      let version = 1;
      let current = app;
      const locks = new Map<number, Program>();
      const runners = Array.from({ length: CONNECTIONS }, () => direct.createQueryRunner());
      const programs = runners.map((runner) => new Program(runner, locks));
      try {
        for (const one of [...steps, { kind: 'sweep' } as const]) {
          if (one.kind === 'version') {
            if (current !== app) await current.close();
            current = await start(String(++version));
          } else await take(one, current, programs, String(version));
        }
      } finally {
        for (const program of programs) await program.transaction('rollback');
        for (const runner of runners) await runner.release();
        if (current !== app) await current.close();
      }
    }

    async function take(
      one: Exclude<Step, { kind: 'version' }>,
      current: TestApp,
      programs: readonly Program[],
      version: string,
    ): Promise<void> {
      switch (one.kind) {
        case 'write':
          return programs[one.by]!.write(
            one.id,
            `INSERT INTO item VALUES (${one.id}, '${one.state}') ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state`,
          );
        case 'delete':
          return programs[one.by]!.write(one.id, `DELETE FROM item WHERE id = ${one.id}`);
        case 'sweep':
          return sweepAll(current, false);
        case 'full':
          return sweepAll(current, true);
        case 'freeze':
          return void (await direct.query('VACUUM (FREEZE) item'));
        case 'forget':
          return void (await current.spark.forget(Item, one.id));
        case 'kill':
          return kill(one.statements, version);
        case 'beside':
          // The transaction ends while the sweep is running. What it has written is found by this sweep or by the next one.
          return void (await Promise.all([current.spark.sweep(), programs[one.by]!.transaction('commit')]));
        default:
          return programs[one.by]!.transaction(one.kind);
      }
    }

    async function sweepAll({ spark }: TestApp, full: boolean): Promise<void> {
      const rows: Item[] = await direct.query('SELECT id, state FROM item');
      const report = await spark.sweep({ full });
      expect(report).toMatchObject({ failed: 0, refused: 0, elsewhere: 0 });
      const events: { event_key: string }[] = await direct.query('SELECT event_key FROM spark_event');
      const known = new Set(events.map(({ event_key: key }) => key));
      expect(rows.map(keyOf).filter((key) => !known.has(key))).toEqual([]);
      const { last } = (await spark.status()).sources.find(({ source }) => source === 'items')!;
      tally[last!.rows]++;
      if (last!.rows === 'changed') tally.passedOver += rows.length - report.subjects;
      if (full) expect(last!.rows).toBe('all');
    }

    /** A process that dies during a sweep. Its lease ends at once. */
    async function kill(statements: number, version: string): Promise<void> {
      const dying = await start(version);
      const crash = new Crash(dying.dataSource);
      crash.after(statements);
      const report = await dying.spark.sweep().catch(() => undefined);
      if (report?.failed !== 0) tally.killed++;
      await dying.close().catch(() => undefined);
      await direct.query('UPDATE spark_sweep_range SET held_until = 0');
    }
  },
);
