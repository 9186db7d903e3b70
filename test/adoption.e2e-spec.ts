import { Injectable } from '@nestjs/common';
import {
  EventSource,
  type EventSourceOptions,
  GroupHandler,
  InvalidOptionsError,
  sparkEvent,
  type SparkEvent,
  type SparkModuleOptions,
  type SourceScope,
} from 'nestjs-spark';
import { TestClock } from 'nestjs-spark/testing';
import { Between, Column, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { refusal } from './support/refusal.js';

@Entity()
class Account {
  @PrimaryColumn() id: number;
  @Column() state: string;
  /** In seconds. */
  @Column({ default: 2_000_000_000 }) due: number;
}

const FAR = 2_000_000_000;

type History = EventSourceOptions<Account>['history'];

/** An account is a customer, and may be closed. */
function accounts(history: History) {
  @Injectable()
  class Accounts {
    @EventSource(Account, { name: 'accounts', history })
    *events({ id, state }: Account) {
      yield sparkEvent('customer', id);
      if (state === 'closed') yield sparkEvent('closed', id);
    }
  }
  return Accounts;
}

@Injectable()
class ChangedAccounts {
  @EventSource(Account, { name: 'accounts' })
  *events({ id, state, due }: Account, { now }: SourceScope) {
    yield sparkEvent('customer', id);
    yield sparkEvent('new', id);
    if (state !== 'open' || due * 1_000 <= now.getTime()) yield sparkEvent('closed', id);
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
  @EventSource(Account, { name: 'idle', trueFor: true })
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

describe.each(databases)('adoption of a table that has rows, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let clock: TestClock;

  beforeEach(async () => {
    db = await database.create();
    clock = new TestClock('2026-03-02T12:00:00Z');
    // The table has rows before Spark has a source for it.
    await start([]);
    await insert(1, 9);
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  async function start(providers: any[], spark: SparkModuleOptions = {}) {
    const options = { activation: { limit: 0 }, ...spark };
    app = await startApp({ database: db, entities: [Account], providers, spark: options, clock });
  }
  async function boot(providers: any[], spark?: SparkModuleOptions) {
    await app.close();
    await start([...providers, Mails], spark);
  }
  const sql = (statement: string) =>
    app.dataSource.query(database.name === 'MariaDB' ? statement.replaceAll('"', '`') : statement);
  function insert(from: number, to: number, state = 'open') {
    const rows = Array.from({ length: to - from + 1 }, (_, i) => `(${from + i}, '${state}', ${FAR})`);
    return sql(`INSERT INTO "account" (id, state, due) VALUES ${rows.join(', ')}`);
  }
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

  it('with history: deliver, handlers get what was true before, too', async () => {
    await boot([accounts('deliver')]);
    expect(await app.spark.sweep()).toMatchObject({ entered: 9, held: 0 });
    expect(await sent()).toHaveLength(9);
  });

  it('what time makes true after the boot is delivered: by the first sweep', async () => {
    await sql(`UPDATE "account" SET due = ${clock.now() / 1_000 + 60} WHERE id IN (1, 2)`);
    await sql(`UPDATE "account" SET due = ${clock.now() / 1_000 - 60} WHERE id IN (3, 4)`);
    await boot([Dates]);
    pass(3_600);
    await app.spark.sweep();
    expect(await sent()).toEqual(['due_1', 'due_2']);
    expect(await states()).toMatchObject({ due_3: 'discarded', due_4: 'discarded' });
  });

  it('a change that is committed before a baseline reads the row is delivered after it', async () => {
    await boot([accounts('silent')]);
    await app.dataSource.manager.update(Account, { id: Between(2, 5) }, { state: 'closed' });
    // The rechecks wait: nothing runs them until the call of drain.
    await app.spark.baseline(Account);
    expect(await sent()).toEqual(['closed_2', 'closed_3', 'closed_4', 'closed_5']);
    await app.spark.sweep();
    expect(await sent()).toEqual([]);
    expect(await states()).toMatchObject({ customer_6: 'discarded', customer_9: 'discarded' });
  });

  it('a first sweep holds or discards what was true before, and delivers what a change has made true', async () => {
    await boot([accounts('silent')]);
    await app.dataSource.manager.update(Account, { id: 3 }, { state: 'closed' });
    expect(await app.spark.sweep()).toMatchObject({ held: 0 });
    expect(await sent()).toEqual(['closed_3']);
    expect(Object.values(await states()).filter((state) => state === 'discarded')).toHaveLength(9);
    // The source is adopted. What other programs write is not silent.
    await insert(20, 21);
    await app.spark.sweep();
    expect(await sent()).toEqual(['customer_20', 'customer_21']);
  });

  it('a process that does not know yet that another one has adopted the source holds nothing', async () => {
    await boot([accounts('silent')]);
    const options = { database: db, entities: [Account], spark: { activation: { limit: 0 } }, clock };
    const other = await startApp({ ...options, providers: [accounts('silent'), Mails] });
    try {
      await app.spark.sweep();
      await insert(20, 21);
      expect(await other.spark.sweep()).toMatchObject({ entered: 2, held: 0 });
      expect(await sent()).toEqual(['customer_20', 'customer_21']);
    } finally {
      await other.close();
    }
  });

  it('in an adopted source, a new group that a sweep finds is held, also with history: silent', async () => {
    await boot([accounts('silent')]);
    await app.spark.sweep();
    await sql(`UPDATE "account" SET state = 'closed' WHERE id = 4`);
    expect(await app.spark.sweep()).toMatchObject({ entered: 1, held: 1 });
    expect(await states()).toMatchObject({ closed_4: 'held' });
  });

  it('a source with an empty table has no past', async () => {
    await sql('DELETE FROM "account"');
    await boot([accounts('silent')]);
    await insert(1, 1);
    await save(1, 'closed');
    expect(await sent()).toEqual(['closed_1', 'customer_1']);
  });

  describe('of a source that has changed', () => {
    beforeEach(async () => {
      await insert(10, 10, 'idle');
      await boot([accounts('silent')]);
      await app.spark.sweep();
      await app.spark.drain();
    });

    it('a sweep delivers what time has made true, and holds the rest', async () => {
      await boot([ChangedAccounts]);
      await sql(`UPDATE "account" SET due = ${clock.now() / 1_000 + 60} WHERE id = 2`);
      // A group that sweeps know.
      await save(30, 'closed');
      await boot([accounts('silent')]);
      await app.spark.sweep();
      await boot([ChangedAccounts]);
      await sent();
      pass(3_600);
      await app.spark.sweep();
      expect(await sent()).toEqual(['closed_2']);
      expect(await states()).toMatchObject({ closed_10: 'held', new_1: 'held' });
    });

    it('the same source without a change is adopted still', async () => {
      await boot([accounts('silent')]);
      await sql(`UPDATE "account" SET state = 'closed' WHERE id = 4`);
      await save(4, 'closed');
      expect(await sent()).toEqual([]);
      await app.spark.sweep();
    });
  });

  it('what has lasted since before is not delivered; what begins to last is', async () => {
    await insert(20, 20, 'idle');
    await boot([Idle]);
    await app.spark.sweep();
    await sent();
    await save(1, 'idle');
    await sent();
    pass(3_600);
    expect(await sent()).toEqual(['idle_1']);
    expect(await states()).toMatchObject({ idle_20: 'held' });
  });

  it('refuses another history', async () => {
    const error = await refusal({ entities: [Account], providers: [accounts('loud' as never)] });
    expect(error).toBeInstanceOf(InvalidOptionsError);
    expect(error.message).toContain(`'silent', 'held' or 'deliver'`);
  });

  it('a source that says what it wants of the past is swept after the boot', async () => {
    await app.close();
    app = await startApp({ database: db, entities: [Account], providers: [accounts('silent'), Mails] });
    await vi.waitFor(async () => expect(Object.keys(await states())).toHaveLength(9), 20_000);
    expect(new Set(Object.values(await states()))).toEqual(new Set(['discarded']));
    expect(app.logs.filter((line) => line.includes('rows from before'))).toEqual([]);
  });

  it('a source that says nothing, without scheduled sweeps, is named in the log', async () => {
    await boot([accounts(undefined)]);
    expect(app.logs.filter((line) => line.includes('rows from before'))).toHaveLength(1);
    await app.spark.baseline(Account);
    await boot([accounts(undefined)]);
    expect(app.logs.filter((line) => line.includes('rows from before'))).toEqual([]);
  });
});
