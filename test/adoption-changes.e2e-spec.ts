import { Injectable } from '@nestjs/common';
import { EventSource, type EventSourceOptions, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { TestClock } from 'nestjs-spark/testing';
import { BaseEntity, Between, Column, DataSource, Entity, ManyToOne, OneToMany, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Account extends BaseEntity {
  @PrimaryColumn() id: number;
  @Column() state: string;
  /** In seconds. */
  @Column({ default: 2_000_000_000 }) due: number;
  @OneToMany(() => Payment, (payment) => payment.account) payments: Payment[];
}

@Entity()
class Payment {
  @PrimaryColumn() id: number;
  @ManyToOne(() => Account, (account) => account.payments) account: Account;
}

/** More than connections. */
const ROWS = 30;

type History = EventSourceOptions<Account>['history'];

function* eventsOf({ id, state }: Account) {
  yield sparkEvent('customer', id);
  if (state === 'closed') yield sparkEvent('closed', id);
}

function recordedAtOnce(history: History = 'silent') {
  @Injectable()
  class Accounts {
    @EventSource(Account, { name: 'accounts', history })
    events(account: Account) {
      return eventsOf(account);
    }
  }
  return Accounts;
}

function recordedByRecheck(history: History = 'silent') {
  @Injectable()
  class Accounts {
    @EventSource(Account, { name: 'accounts', history, relations: { payments: true } })
    events(account: Account) {
      return eventsOf(account);
    }
  }
  return Accounts;
}

@Injectable()
class Waiting {
  @EventSource(Account, { name: 'accounts', history: 'silent' })
  async events(account: Account) {
    return [...eventsOf(account)];
  }
}

const RECORDED = { 'in the transaction': recordedAtOnce, 'by a recheck': recordedByRecheck };

@Injectable()
class Payers {
  @EventSource(Account, { name: 'payers', relations: { payments: true }, history: 'silent' })
  *events({ id, payments }: Account) {
    for (let count = 1; count <= payments.length; count++) yield sparkEvent('paid', [id, count]);
  }
}

@Injectable()
class Dates {
  @EventSource(Account, { name: 'dates', history: 'silent' })
  *events({ id, due }: Account) {
    yield sparkEvent('due', id, undefined, { at: new Date(due * 1_000) });
  }
}

@Injectable()
class Idle {
  @EventSource(Account, { name: 'idle', trueFor: true, history: 'silent' })
  *events({ id, state }: Account) {
    if (state === 'idle') yield sparkEvent('idle', id, undefined, { trueFor: '15m' });
  }
}

@Injectable()
class Mails {
  readonly sent: string[] = [];

  @GroupHandler(/./, { name: 'mails' })
  send({ key }: SparkEvent) {
    this.sent.push(key);
  }
}

describe.each(databases)('a change of an old row before any sweep, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let clock: TestClock;

  beforeEach(async () => {
    db = await database.create();
    clock = new TestClock('2026-03-02T12:00:00Z');
    // The table has rows before Spark has a source for it.
    app = await start([]);
    const rows = Array.from({ length: ROWS }, (_, i) => `(${i + 1}, 'open', 2000000000)`);
    await sql(`INSERT INTO "account" (id, state, due) VALUES ${rows.join(', ')}`);
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await app.close();
    await db.drop();
  });

  const start = (providers: any[]) =>
    startApp({ database: db, entities: [Account, Payment], providers, spark: { activation: { limit: 0 } }, clock });
  async function boot(...providers: any[]) {
    await app.close();
    app = await start([...providers, Mails]);
  }
  const sql = (statement: string) =>
    app.dataSource.query(database.name === 'MariaDB' ? statement.replaceAll('"', '`') : statement);
  const save = (id: number, state: string) => app.dataSource.manager.save(Account, { id, state });
  const sent = async () => {
    await app.spark.drain();
    return app.app.get(Mails).sent.splice(0).sort();
  };
  const pass = (seconds: number) => clock.set(clock.now() + seconds * 1_000);
  const states = async () => {
    const { records } = await app.spark.deliveries({});
    return Object.fromEntries(records.map(({ event, state }) => [event.key, state]));
  };

  describe.each(Object.entries(RECORDED))('recorded %s', (_, source) => {
    beforeEach(() => boot(source()));

    it('delivers what it has made true, and not what was true before', async () => {
      await save(2, 'closed');
      expect(await sent()).toEqual(['closed_2']);
      expect(await states()).toEqual({ closed_2: 'completed', customer_2: 'discarded' });
      await app.spark.sweep();
      expect(await sent()).toEqual([]);
    });

    it('by criteria, too', async () => {
      await app.dataSource.manager.update(Account, { id: Between(2, 3) }, { state: 'closed' });
      await app.dataSource.manager.update(Account, { id: Between(3, 4) }, { state: 'closed' });
      expect(await sent()).toEqual(['closed_2', 'closed_3', 'closed_4']);
    });

    it('also if it comes before an earlier change is rechecked', async () => {
      await save(2, 'closed');
      await app.dataSource.manager.save(Account, { id: 2, due: 5 });
      expect(await sent()).toEqual(['closed_2']);
    });

    it('delivers all of a row that the transaction has inserted', async () => {
      await app.dataSource.transaction(async (manager) => {
        await manager.save(Account, { id: 40, state: 'open' });
        await manager.save(Account, { id: 40, state: 'closed' });
        const rows = [41, 3].map((id) => ({ id, state: 'closed' }));
        await manager.upsert(Account, rows, ['id']);
      });
      expect(await sent()).toEqual(['closed_3', 'closed_40', 'closed_41', 'customer_40', 'customer_41']);
    });

    it('delivers nothing when it is rolled back', async () => {
      const failing = app.dataSource.transaction(async (manager) => {
        await manager.save(Account, { id: 2, state: 'closed' });
        throw new Error('no');
      });
      await expect(failing).rejects.toThrow('no');
      expect(await sent()).toEqual([]);
    });

    it('in more transactions than there are connections waits for none of them', async () => {
      const ids = Array.from({ length: ROWS }, (__, i) => i + 1);
      await Promise.all(ids.map((id) => save(id, 'closed')));
      expect(await sent()).toEqual(ids.map((id) => `closed_${id}`).sort());
    });

    it('in a transaction that does not see what others commit', async () => {
      await app.dataSource.transaction(
        database.name === 'SQLite' ? 'SERIALIZABLE' : 'REPEATABLE READ',
        async (manager) => {
          await manager.findOneByOrFail(Account, { id: 2 });
          await manager.save(Account, { id: 2, state: 'closed' });
        },
      );
      expect(await sent()).toEqual(['closed_2']);
    });
  });

  it.each(['silent', 'held', 'deliver'] as const)('with history: %s', async (history) => {
    await boot(recordedAtOnce(history));
    await save(2, 'closed');
    expect(await sent()).toEqual(history === 'deliver' ? ['closed_2', 'customer_2'] : ['closed_2']);
    const expected = { silent: 'discarded', held: 'held', deliver: 'completed' };
    expect(await states()).toEqual({ closed_2: 'completed', customer_2: expected[history] });
  });

  it('that touches it by a relation', async () => {
    await sql(`INSERT INTO "payment" (id, "accountId") VALUES (1, 1)`);
    await boot(Payers);
    await app.dataSource.manager.save(Payment, { id: 2, account: { id: 1 } });
    await app.dataSource.manager.save(Payment, { id: 3, account: { id: 1 } });
    expect(await sent()).toEqual(['paid_1,2', 'paid_1,3']);
  });

  it('delivers what time has made true since the boot', async () => {
    await sql(`UPDATE "account" SET due = ${clock.now() / 1_000 - 60} WHERE id = 1`);
    await sql(`UPDATE "account" SET due = ${clock.now() / 1_000 + 60} WHERE id = 2`);
    await boot(Dates);
    pass(3_600);
    await save(1, 'closed');
    await save(2, 'closed');
    expect(await sent()).toEqual(['due_2']);
  });

  it('begins nothing anew that lasts since before', async () => {
    await sql(`UPDATE "account" SET state = 'idle' WHERE id = 1`);
    await boot(Idle);
    await app.dataSource.manager.save(Account, { id: 1, due: 5 });
    await save(2, 'idle');
    await sent();
    pass(15 * 60);
    expect(await sent()).toEqual(['idle_2']);
  });

  it('goes by what another process has adopted', async () => {
    await boot(recordedAtOnce());
    const other = await start([recordedAtOnce()]);
    await other.spark.sweep();
    await other.close();
    await sql(`INSERT INTO "account" (id, state, due) VALUES (40, 'open', 5)`);
    await save(40, 'closed');
    expect(await sent()).toEqual(['closed_40', 'customer_40']);
  });

  it('by an entity that saves itself, and by its other methods afterwards', async () => {
    await boot(recordedAtOnce());
    const account = await Account.findOneByOrFail({ id: 2 });
    account.state = 'closed';
    await account.save();
    await Account.create({ id: 3, state: 'closed', due: 5 }).save();
    expect(await sent()).toEqual(['closed_2', 'closed_3']);
    await app.spark.sweep();
    await Account.create({ id: 4, state: 'closed', due: 5 }).save();
    expect(await sent()).toEqual(['closed_4']);
  });

  it('that is committed already, or recorded by a source that waits, delivers all that is true', async () => {
    await boot(recordedAtOnce());
    await app.dataSource.manager.save(Account, { id: 2, state: 'closed' }, { transaction: false });
    expect(await sent()).toEqual(['closed_2', 'customer_2']);
    await boot(Waiting);
    await save(3, 'closed');
    expect(await sent()).toEqual(['closed_3', 'customer_3']);
  });

  it('leaves no delivery held whose group no sweep yields', async () => {
    await sql(`UPDATE "account" SET state = 'closed' WHERE id = 2`);
    await boot(recordedAtOnce('held'));
    await save(2, 'open');
    expect(await states()).toEqual({ closed_2: 'held', customer_2: 'held' });
    const fewer = await startApp({
      database: db,
      entities: [Account, Payment],
      providers: [recordedAtOnce('held')],
      spark: { activation: { limit: ROWS } },
      clock,
    });
    await fewer.spark.sweep();
    await fewer.close();
    expect(Object.values(await states())).not.toContain('held');
  });

  it('goes on when what was true before cannot be read', async () => {
    await boot(recordedAtOnce());
    const connecting = vi
      .spyOn(DataSource.prototype, 'initialize')
      .mockRejectedValue(new Error('too many connections'));
    await save(2, 'closed');
    connecting.mockRestore();
    expect(await sent()).toEqual(['closed_2', 'customer_2']);
    expect(app.logs.filter((line) => line.includes('what was true of entities before'))).toHaveLength(1);
  });
});
