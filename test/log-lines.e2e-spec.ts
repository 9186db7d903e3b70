import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent } from 'nestjs-spark';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Challenge {
  @PrimaryColumn() id: number;
  @Column({ default: '' }) title: string;
}
@Entity()
class Donation {
  @PrimaryColumn() id: number;
  @Column({ default: '' }) title: string;
}
@Entity()
class Ticket {
  @PrimaryColumn() id: number;
}

/** More than a sweep reads at once. */
const MANY = 600;

@Injectable()
class Sources {
  @EventSource(Challenge, { name: 'challenges' }) *challenges({ id }: Challenge) {
    yield sparkEvent('created', id);
    yield sparkEvent('of_challenge', id);
  }
  @EventSource(Donation, { name: 'donations' }) *donations({ id }: Donation) {
    yield sparkEvent('created', id);
    yield sparkEvent('of_donation', id);
  }
  @EventSource(Donation, { name: 'deferred' }) async *deferred({ id }: Donation) {
    if (id >= 100) yield sparkEvent('of_challenge', id);
  }
  // Two entities of one page share a key, as neither names itself.
  @EventSource(Challenge, { name: 'pairs', live: false }) *pairs({ id }: Challenge) {
    if (id >= 200) yield sparkEvent('pair', Math.floor(id / 2));
  }
  @EventSource(Ticket, { name: 'tickets' }) *tickets({ id }: Ticket) {
    yield sparkEvent('ticket', id % MANY);
  }
}

const hostile = (): unknown => {
  const refuse = () => {
    throw new Error('do not read');
  };
  return new Proxy({}, { get: refuse, has: refuse, getPrototypeOf: refuse, ownKeys: refuse });
};

class Guarded extends Error {
  override get stack(): string {
    throw new Error('no stack');
  }
  override get message(): string {
    throw new Error('no message');
  }
}

const THROWN: Record<string, { thrown: () => unknown; row: RegExp }> = {
  'a Proxy that throws when it is read': { thrown: hostile, row: /^\{\}$/ },
  'an error whose getters throw': { thrown: () => new Guarded(), row: /something was thrown that cannot be shown/ },
  undefined: { thrown: () => undefined, row: /^undefined$/ },
  'half of a surrogate pair': { thrown: () => new Error('a\ud800b'), row: /^Error: a\ufffdb\n/ },
  'a message with NUL, new lines and ESC': {
    thrown: () => new Error('a\0b\n[Nest] ERROR forged \u001b[2J'),
    row: /^Error: a\\0b\n\[Nest\] ERROR forged/,
  },
  'an error with its causes': {
    thrown: () => new Error('not sent', { cause: new AggregateError([new Error('refused')], 'all failed') }),
    row: /^Error: not sent\n.*\nCaused by: AggregateError: all failed\n.*\nOne of its errors: Error: refused\n/s,
  },
  'a message of 5,000,000 characters': {
    thrown: () => new Error('x'.repeat(5_000_000), { cause: new Error('the disk is full') }),
    row: /\nCaused by: Error: the disk is full\n/,
  },
};

@Injectable()
class Handlers {
  next: unknown;

  @GroupHandler(/^mail/, { name: 'mails', backoff: () => '1ms', maxAttempts: 2 }) mail() {
    throw this.next;
  }
  @GroupHandler(/^mail/, { name: 'neighbour' }) neighbour() {}
}

describe.each(databases)('what goes wrong is logged, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;

  beforeAll(async () => {
    db = await database.create();
    app = await startApp({
      database: db,
      entities: [Challenge, Donation, Ticket],
      providers: [Sources, Handlers],
      spark: { worker: false },
    });
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });
  beforeEach(() => {
    app.logs.length = 0;
  });

  const collisions = async () => (await app.spark.status()).counts.collidingKeys;
  // Rechecks run by themselves: what a save has counted, the recheck after it may count again.
  const linesOf = (pattern: RegExp) => app.logs.filter((line) => pattern.test(line));

  describe('two entities with one key', () => {
    it('the second is logged once, and counted at each save of it', async () => {
      const before = await collisions();
      const { manager } = app.dataSource;
      await manager.save(Challenge, { id: 1 });
      await manager.save(Donation, { id: 1 });
      await manager.save(Donation, { id: 1, title: 'changed' });
      expect(await collisions()).toBeGreaterThanOrEqual(before + 2);
      expect(linesOf(/collid|not entered/)).toEqual([
        expect.stringMatching(/^warn The event created_1 of Donation 1 \(donations\) is not entered: Challenge 1 has/),
      ]);
      const { words } = await app.spark.explain(Donation, 1);
      expect(words.join('\n')).toMatch(/created_1 was entered by Challenge 1/);
    });

    it('and so it is where one save writes both', async () => {
      const before = await collisions();
      await app.dataSource.transaction(async (manager) => {
        await manager.save(Challenge, { id: 2 });
        await manager.save(Donation, { id: 2 });
      });
      expect(await collisions()).toBeGreaterThanOrEqual(before + 1);
    });

    it('and by a recheck after the commit', async () => {
      const { manager } = app.dataSource;
      await manager.save(Challenge, { id: 100 });
      const before = await collisions();
      await manager.save(Donation, { id: 100 });
      await app.spark.drain();
      expect(await collisions()).toBeGreaterThanOrEqual(before + 2);
      expect(linesOf(/of_challenge_100 of Donation 100 \(deferred\) is not entered: Challenge 100 has/)).toHaveLength(
        1,
      );
    });

    it('and in a sweep that finds both', async () => {
      const before = await collisions();
      await app.dataSource.manager.insert(Challenge, [{ id: 200 }, { id: 201 }]);
      await app.spark.drain();
      await app.spark.sweep({ entity: Challenge });
      expect(await collisions()).toBe(before + 1);
      expect(linesOf(/pair_100 of Challenge 201 \(pairs\) is not entered: Challenge 200 has/)).toHaveLength(1);
      await app.dataSource.manager.delete(Challenge, 201);
    });

    it('and in a sweep that finds the second where the first was saved', async () => {
      const { manager } = app.dataSource;
      await manager.save(Challenge, { id: 300 });
      const sweep = async () => {
        const before = await collisions();
        await app.spark.sweep({ entity: Donation });
        return (await collisions()) - before;
      };
      const others = await sweep();
      await app.dataSource.query('INSERT INTO donation (id) VALUES (300)');
      // created_300 and of_challenge_300
      expect(await sweep()).toBe(others + 2);
      expect(await sweep()).toBe(others + 2);
    });

    it('and in a sweep that finds the second pages later, each time it comes by', async () => {
      const rows = Array.from({ length: 2 * MANY }, (_, id) => `(${id})`);
      await app.dataSource.query(`INSERT INTO ticket (id) VALUES ${rows.join()}`);
      for (const entered of [MANY, 0]) {
        const before = await collisions();
        expect(await app.spark.sweep({ entity: Ticket })).toMatchObject({ entered });
        expect((await collisions()) - before).toBe(MANY);
      }
      expect(linesOf(/ticket_\d+ of Ticket \d+ \(tickets\) is not entered: Ticket \d+ has/)).toHaveLength(1);
    });

    it('while one entity that is saved again and again collides with nobody', async () => {
      const { manager } = app.dataSource;
      await manager.save(Challenge, { id: 3 });
      const before = await collisions();
      for (const title of ['a', 'b', 'c']) await manager.save(Challenge, { id: 3, title });
      await app.spark.sweep({ entity: Challenge });
      await app.spark.emit(sparkEvent('created', 3));
      expect(await collisions()).toBe(before);
    });
  });

  describe('a handler may throw anything', () => {
    it.each(Object.keys(THROWN))('%s: it is tried again, discarded and logged', async (what) => {
      const { thrown, row } = THROWN[what]!;
      const handlers = app.app.get(Handlers);
      handlers.next = thrown();
      const key = `mail ${what.replaceAll(',', '')}`;
      await app.spark.emit(sparkEvent('mail', what, undefined, { key }));
      const ofKey = async (handler: string) => {
        const rows = await app.dataSource.query(
          `SELECT d.state, d.attempt, d.last_error FROM spark_delivery d JOIN spark_event e ON e.id = d.event_id
           WHERE e.event_key = '${key}' AND d.handler = '${handler}'`,
        );
        return rows[0] as { state: string; attempt: number; last_error: string };
      };
      for (let state = ''; state !== 'discarded'; state = (await ofKey('mails')).state) await app.spark.drain();

      const { attempt, last_error: error } = await ofKey('mails');
      expect(Number(attempt)).toBe(2);
      expect(error).toMatch(row);
      expect(error.length).toBeLessThanOrEqual(10_000);
      expect(await ofKey('neighbour')).toMatchObject({ state: 'completed' });
      const lines = linesOf(/for mails (failed|is discarded)/);
      expect(lines).toHaveLength(2);
      // One line for what is tried again; a few for what is given up.
      expect(lines[0]).not.toContain('\n');
      for (const line of lines) {
        expect(line.length).toBeLessThan(5_000);
        // eslint-disable-next-line no-control-regex
        expect(line).not.toMatch(/[\0\u001b\u0080-\u009f]/);
        expect(line).not.toMatch(/^\[Nest\]/m);
      }
      const causes = /caused by: ([^;\n]*)/i.exec(error)?.[1];
      if (causes) for (const line of lines) expect(line.toLowerCase()).toContain(`caused by: ${causes.toLowerCase()}`);
    });
  });

  it('a key with a new line forges no line in the log', async () => {
    app.app.get(Handlers).next = new Error('no');
    await app.spark.emit(sparkEvent('mail', 'x\n[Nest] forged \u001b[2J'));
    await app.spark.drain();
    expect(linesOf(/forged/).length).toBeGreaterThan(0);
    for (const line of linesOf(/forged/)) {
      expect(line).toContain(String.raw`mail_x\n[Nest] forged \x1b[2J for mails`);
      expect(line).not.toContain('\u001b');
    }
  });

  it('status counts as discarded what failed, and no history', async () => {
    const discarded = async (name: string) =>
      (await app.spark.status()).handlers.find(({ handler }) => handler === name)?.discarded;
    const failed = await discarded('mails');
    expect(failed).toBeGreaterThanOrEqual(Object.keys(THROWN).length);
    await app.dataSource
      .query(`INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at, last_error)
      SELECT id, 'history', 'discarded', 0, 0, 0, 0, 'baseline' FROM spark_event WHERE event_key = 'created_1'`);
    await app.dataSource
      .query(`INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at, last_error)
      SELECT id, 'history', 'discarded', 0, 0, 0, 0, 'discarded while held' FROM spark_event WHERE event_key = 'created_2'`);
    expect(await discarded('history')).toBe(0);
    expect(await discarded('mails')).toBe(failed);
  });
});
