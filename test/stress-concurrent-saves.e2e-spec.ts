import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import {
  Column,
  type DataSource,
  Entity,
  type EntityManager,
  type EntitySubscriberInterface,
  ManyToOne,
  type ObjectLiteral,
  OneToMany,
  PrimaryGeneratedColumn,
  type QueryRunner,
  type Relation,
  type TransactionCommitEvent,
  type TransactionRollbackEvent,
  type UpdateEvent,
  VersionColumn,
} from 'typeorm';
import { describe, expect, it } from 'vitest';
import { startApp } from './support/app.js';
import { databases } from './support/databases.js';
import { rounds } from './support/rounds.js';

@Entity()
class Invoice {
  @PrimaryGeneratedColumn() id: number;
  @Column() open: boolean;
  @Column() paid: boolean;
  @Column() reminders: number;
  @Column({ type: 'varchar', nullable: true }) note: string | null;
}

@Entity()
class Versioned {
  @PrimaryGeneratedColumn() id: number;
  @Column() open: boolean;
  @Column() paid: boolean;
  @Column() reminders: number;
  @Column({ type: 'varchar', nullable: true }) note: string | null;
  @VersionColumn() version: number;
}

const FRESH = { open: true, paid: false, reminders: 0 };

const stateOf = (table: string, { id, open, paid, reminders, note, version }: ObjectLiteral): string =>
  [table, id, Number(open), Number(paid), reminders, note ?? 'none', version ?? 'plain'].join(':');

@Injectable()
class Events {
  @EventSource(Invoice)
  *invoice(invoice: Invoice) {
    yield sparkEvent('state', stateOf('invoice', invoice));
  }

  @EventSource(Versioned)
  *versioned(versioned: Versioned) {
    yield sparkEvent('state', stateOf('versioned', versioned));
  }
}

/** Notes each state that commits: the row is locked by then, so nobody else can change it. */
class Committed implements EntitySubscriberInterface {
  readonly states = new Set<string>();
  private readonly written = new WeakMap<QueryRunner, { table: string; id: number }>();
  private readonly read = new WeakMap<QueryRunner, string[]>();

  constructor(private readonly lock: string) {}

  beforeUpdate({ queryRunner, databaseEntity, metadata }: UpdateEvent<ObjectLiteral>): void {
    if (databaseEntity) this.written.set(queryRunner, { table: metadata.tableName, id: databaseEntity.id as number });
  }

  async beforeTransactionCommit({ queryRunner }: TransactionCommitEvent): Promise<void> {
    const written = this.written.get(queryRunner);
    this.written.delete(queryRunner);
    if (!written) return;
    const { table, id } = written;
    const rows: ObjectLiteral[] = await queryRunner.query(`SELECT * FROM ${table} WHERE id = ${id} ${this.lock}`);
    this.read.set(
      queryRunner,
      rows.map((row) => stateOf(table, row)),
    );
  }

  afterTransactionCommit({ queryRunner }: TransactionCommitEvent): void {
    for (const state of this.read.get(queryRunner) ?? []) this.states.add(state);
    this.read.delete(queryRunner);
  }

  afterTransactionRollback({ queryRunner }: TransactionRollbackEvent): void {
    this.written.delete(queryRunner);
  }
}

type Saver = (manager: EntityManager, stale: Invoice, of: typeof Invoice) => Promise<unknown>;

let notes = 0;

/** What two and more requests do to one row, each with an instance that it loaded before any of them wrote. */
const savers: Saver[] = [
  (manager, stale) => manager.save(Object.assign(stale, { open: false })),
  (manager, stale) => manager.save(Object.assign(stale, { paid: true })),
  (manager, { id }, of) => manager.save(of, { id, reminders: 7 }),
  (manager, stale) => manager.transaction((m) => m.save(Object.assign(stale, { note: 'in a transaction' }))),
  (manager, { id }, of) =>
    manager.transaction(async (m) => {
      const found = await m.findOneByOrFail(of, { id });
      await delay(Math.random() * 3);
      await m.save(Object.assign(found, { open: false, note: 'read first' }));
    }),
  (manager, { id }, of) =>
    manager.transaction(async (m) => {
      await m.save(of, { id, paid: true });
      await m.update(of, { id }, { open: () => 'NOT open' });
      await m.save(of, { id, note: `criteria between ${++notes}` });
    }),
];
const versioned: Saver = (manager, { id, ...rest }, of) =>
  manager.transaction(async (m) => {
    const lock = { mode: 'optimistic', version: (rest as Versioned).version } as const;
    const found = await m.findOneOrFail(of, { where: { id }, lock });
    await m.save(Object.assign(found, { note: 'versioned' }));
  });

@Entity()
class Challenge {
  @PrimaryGeneratedColumn() id: number;
  @OneToMany(() => Donation, (donation) => donation.challenge) donations: Relation<Donation>[];
}

@Entity()
class Donation {
  @PrimaryGeneratedColumn() id: number;
  @Column() amount: number;
  @ManyToOne(() => Challenge, (challenge) => challenge.donations) challenge: Relation<Challenge>;
}

@Injectable()
class Support {
  @EventSource(Challenge, { relations: { donations: true } })
  *events({ id, donations }: Challenge) {
    if (donations.length >= 2) yield sparkEvent('two_donations', id);
  }
}

const ROUNDS = rounds(40, 600);
const AT_ONCE = 4;

describe.each(databases)('two requests save one row, on $name', (database) => {
  it(`in ${ROUNDS} rounds each state that committed has an event, and no other state has`, async () => {
    const db = await database.create();
    const entities = [Invoice, Versioned];
    const { dataSource, spark, close } = await startApp({
      database: db,
      entities,
      providers: [Events],
      spark: { worker: false },
    });
    const committed = new Committed(database.name === 'MariaDB' ? 'LOCK IN SHARE MODE' : '');
    dataSource.subscribers.unshift(committed);
    const unexpected: string[] = [];
    let refused = 0;
    const round = async (n: number) => {
      const of = n % 4 < 2 ? Invoice : (Versioned as typeof Invoice);
      const all = of === Invoice ? savers : [...savers, versioned];
      // All of them, or two: plain saves of each other's columns most of all.
      const two = n % 3 === 1 ? [all[0]!, all[1]!] : [all[n % all.length]!, all.at(-1 - (n % 2))!];
      const some = n % 3 === 0 ? all : two;
      const { id } = await dataSource.manager.save(of, { ...FRESH });
      const load = () => dataSource.manager.findOneByOrFail(of, { id });
      committed.states.add(stateOf(dataSource.getMetadata(of).tableName, await load()));
      const loaded = await Promise.all(some.map(load));
      const manager = isolated(dataSource, n);
      const saves = await Promise.allSettled(some.map((saver, i) => saver(manager, loaded[i]!, of)));
      for (const { status, reason } of saves as PromiseRejectedResult[]) {
        if (status !== 'rejected') continue;
        refused++;
        if (!/lock|serialize|version/i.test(String(reason))) unexpected.push(String(reason));
      }
    };
    for (let n = 0; n < ROUNDS; n += AT_ONCE)
      await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => round(n + i)));

    const rows = (await dataSource.query('SELECT event_key FROM spark_event')) as { event_key: string }[];
    const events = new Set(rows.map(({ event_key: key }) => key.replace('state_', '')));
    const missed = [...committed.states].filter((state) => !events.has(state));
    const ghosts = [...events].filter((state) => !committed.states.has(state));
    const { entered } = await spark.sweep();
    await close();
    await db.drop();
    expect(missed).toEqual([]);
    expect(ghosts).toEqual([]);
    expect(entered).toBe(0);
    expect(unexpected).toEqual([]);
    expect(committed.states.size).toBeGreaterThan(2 * ROUNDS);
    expect(refused).toBeLessThan(2 * ROUNDS);
  }, 600_000);
});

describe.each(databases)('two donations at the same time are both seen, on $name', (database) => {
  it(`loses none of ${ROUNDS} rounds, without a sweep`, async () => {
    const db = await database.create();
    const { dataSource, spark, close } = await startApp({
      database: db,
      entities: [Challenge, Donation],
      providers: [Support],
    });
    const { manager } = dataSource;
    for (let round = 0; round < ROUNDS; round++) {
      const challenge = await manager.save(manager.create(Challenge));
      // What saving the challenge itself leads to must not be what finds them.
      await spark.drain();
      const donate = (amount: number) => manager.transaction((m) => m.save(Donation, { amount, challenge }));
      await Promise.all([donate(1), donate(2)]);
    }
    await spark.drain();
    const [{ n }] = await manager.query(`SELECT COUNT(*) AS n FROM spark_event WHERE event_group = 'two_donations'`);
    expect(Number(n)).toBe(ROUNDS);
    await close();
    await db.drop();
  }, 600_000);
});

/** A manager whose transactions have, in every second round, another isolation than the database's default. */
function isolated(dataSource: DataSource, n: number): EntityManager {
  const { manager } = dataSource;
  const other = { postgres: 'REPEATABLE READ', mysql: 'READ COMMITTED', mariadb: 'READ COMMITTED' } as const;
  const isolation = other[dataSource.options.type as 'postgres'];
  if (n % 2 === 0 || !isolation) return manager;
  const transaction = (work: (m: EntityManager) => Promise<unknown>) => manager.transaction(isolation, work);
  return new Proxy(manager, {
    get: (target, name) =>
      name === 'transaction' ? transaction : (Reflect.get(target, name, target) as (...args: unknown[]) => unknown),
  });
}
