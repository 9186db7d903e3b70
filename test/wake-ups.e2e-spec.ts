import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, type SparkEvent, type SparkModuleOptions } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { QueryLog } from './support/query-log.js';

@Entity()
class Note {
  @PrimaryColumn() id: number;
}

@Injectable()
class Sources {
  @EventSource(Note)
  async later({ id }: Note) {
    return [sparkEvent('later', id)];
  }
}

/** The keys that a process has handled. Its handlers wait for `hold`. */
class Handling {
  readonly handled: string[] = [];
  hold: Promise<unknown> = Promise.resolve();

  async call(key: string) {
    await this.hold;
    this.handled.push(key);
  }
}

@Injectable()
class Mails extends Handling {
  @GroupHandler(/^(mail|later)/, { name: 'mails', concurrency: 1 })
  handle({ key }: SparkEvent) {
    return this.call(key);
  }
}

@Injectable()
class Search extends Handling {
  @GroupHandler(/^search/, { name: 'search' })
  handle({ key }: SparkEvent) {
    return this.call(key);
  }
}

/** What a process was notified of: whether it alone was. */
interface Process extends TestApp {
  readonly notified: boolean[];
  readonly log: QueryLog;
}

interface Parts {
  readonly signals: { onNotified(work: unknown, isAlone: boolean): void };
  readonly notifier: { channel: string; common: string };
}

const partsOf = ({ spark }: TestApp): Parts => (spark as unknown as { spark: Parts }).spark;

describe.each(databases.filter(({ name }) => name === 'PostgreSQL'))('wake-ups, on $name', (database) => {
  let db: TestDatabase;
  let processes: Process[] = [];

  beforeEach(async () => {
    db = await database.create();
  });
  afterEach(async () => {
    for (const { close } of processes) await close();
    processes = [];
    await db.drop();
  });

  // No poll comes within a test. The lease is renewed often, because a renewal stores the channel.
  const worker = { pollInterval: '10m' as const, leaseRenewal: '50ms' as const };

  const start = async (providers: any[], spark: SparkModuleOptions = { worker }) => {
    const log = new QueryLog();
    const app = await startApp({ database: db, entities: [Note], providers, spark, dataSource: { logger: log } });
    const notified: boolean[] = [];
    const { signals } = partsOf(app);
    const { onNotified } = Object.getPrototypeOf(signals) as Parts['signals'];
    signals.onNotified = (work, isAlone) => {
      notified.push(isAlone);
      onNotified.call(signals, work, isAlone);
    };
    const process = { ...app, notified, log };
    processes.push(process);
    return process;
  };
  /** Waits until all processes listen and the table of workers says so, and forgets what they did until then. */
  const settled = async (workers: readonly Process[]) => {
    await vi.waitFor(async () => {
      const rows: { channel: string }[] = await processes[0]!.dataSource.query('SELECT channel FROM spark_worker');
      const channels = rows.map(({ channel }) => channel);
      for (const process of processes) expect(partsOf(process).notifier.channel).not.toBe('');
      for (const process of workers) expect(channels).toContain(partsOf(process).notifier.channel);
    }, 10_000);
    // A list of workers that was read before is too old by then.
    await delay(1_100);
    for (const { notified, log } of processes) notified.length = log.statements.length = 0;
  };
  const claims = ({ log }: Process) => log.statements.filter((sql) => sql.includes('found AS MATERIALIZED')).length;
  const handledBy = (process: Process, handling: new () => Handling) => process.app.get(handling).handled;
  const until = (check: () => void) => vi.waitFor(check, { timeout: 10_000, interval: 5 });
  const quiet = () => delay(200);
  const held = (process: Process, handling: new () => Handling) => {
    let release = (): void => {};
    process.app.get(handling).hold = new Promise<void>((resolve) => (release = resolve));
    return release;
  };

  it('a process that has a place for what it commits wakes no other', async () => {
    const [first, second] = [await start([Search]), await start([Search])];
    await settled([first, second]);
    for (let i = 0; i < 10; i++) {
      await first.spark.emit(sparkEvent('search', i));
      await until(() => expect(handledBy(first, Search)).toHaveLength(i + 1));
    }
    await quiet();
    expect(claims(first)).toBeGreaterThan(0);
    expect({ claims: claims(second), notified: second.notified }).toEqual({ claims: 0, notified: [] });
  });

  it('nor does an event that no handler gets', async () => {
    const [first, second] = [await start([Search]), await start([Search])];
    await settled([first, second]);
    await first.spark.emit(sparkEvent('other', 1));
    await quiet();
    expect([claims(first), claims(second), second.notified]).toEqual([0, 0, []]);
  });

  it('a process whose slots are taken wakes one that has some', async () => {
    const [first, second] = [await start([Mails]), await start([Mails])];
    await settled([first, second]);
    const release = held(first, Mails);
    await first.spark.emit(sparkEvent('mail', 1));
    await vi.waitFor(async () => expect((await first.spark.status()).running).toHaveLength(1), 10_000);
    // The claim has taken the only slot, so there might have been more.
    await until(() => expect(second.notified).toEqual([false]));
    await first.spark.emit(sparkEvent('mail', 2));
    await until(() => expect(handledBy(second, Mails)).toEqual(['mail_2']));
    expect(second.notified).toEqual([false, true]);
    release();
    await until(() => expect(handledBy(first, Mails)).toEqual(['mail_1']));
  });

  it('more than a process has slots for spreads to others', async () => {
    const all = [await start([Mails]), await start([Mails]), await start([Mails])];
    await settled(all);
    const releases = all.map((process) => held(process, Mails));
    await all[0]!.spark.emit([1, 2, 3].map((i) => sparkEvent('mail', i)));
    await vi.waitFor(async () => {
      for (const { spark } of all) expect((await spark.status()).running).toHaveLength(1);
    }, 10_000);
    for (const release of releases) release();
    await until(() => expect(all.flatMap((process) => handledBy(process, Mails)).toSorted()).toHaveLength(3));
  });

  it.each([
    { what: 'that lacks the handler', providers: [Search], pause: false },
    { what: 'that is paused', providers: [Mails], pause: true },
  ])('a process $what wakes one that has it', async ({ providers, pause }) => {
    const [first, second] = [await start(providers), await start([Mails])];
    await settled([first, second]);
    if (pause) await first.spark.pause();
    await first.spark.emit(sparkEvent('mail', 1));
    await until(() => expect(handledBy(second, Mails)).toEqual(['mail_1']));
    expect(second.notified).toEqual([true]);
  });

  it('a process that does not recheck wakes others', async () => {
    const [first, second] = [await start([Sources]), await start([Sources, Mails])];
    await settled([second]);
    await first.spark.pause();
    await first.dataSource.manager.save(Note, { id: 1 });
    await until(() => expect(handledBy(second, Mails)).toEqual(['later_1']));
  });

  it('a process that only records wakes one at a time, in turn', async () => {
    const workers = [await start([Search]), await start([Search]), await start([Search])];
    const recording = await start([], { worker: false });
    await settled(workers);
    for (let i = 1; i <= 6; i++) {
      await recording.spark.emit(sparkEvent('search', i));
      await until(() => expect(workers.flatMap((process) => handledBy(process, Search))).toHaveLength(i));
    }
    await quiet();
    for (const process of workers) {
      expect(process.notified).toEqual([true, true]);
      expect(handledBy(process, Search)).toHaveLength(2);
    }
  });

  it('one that is woken passes on what it has no place for', async () => {
    const [lacking, full, free] = [await start([Search]), await start([Mails]), await start([Mails])];
    const recording = await start([], { worker: false });
    await settled([lacking, full, free]);
    const release = held(full, Mails);
    // Until the slot of one of them is taken.
    for (let i = 1; (await full.spark.status()).running.length === 0; i++) {
      await recording.spark.emit(sparkEvent('mail', i));
      await vi.waitFor(async () => {
        const running = (await full.spark.status()).running.length;
        expect(running + handledBy(free, Mails).length).toBe(i);
      }, 10_000);
    }
    const before = handledBy(free, Mails).length;
    for (let i = 1; i <= 6; i++) {
      await recording.spark.emit(sparkEvent('mail', `more${i}`));
      await until(() => expect(handledBy(free, Mails)).toHaveLength(before + i));
    }
    release();
  });

  it('a process of the release before, which has no channel of its own, hears what is for one', async () => {
    const first = await start([Search]);
    const recording = await start([], { worker: false });
    await recording.dataSource.query(
      `INSERT INTO spark_worker (id, lease_until, host, pid, started_at) VALUES ('old', 99999999999999, 'h', 1, 1)`,
    );
    await settled([first]);
    for (let i = 0; i < 4; i++) {
      await recording.spark.emit(sparkEvent('search', i));
      await until(() => expect(handledBy(first, Search)).toHaveLength(i + 1));
    }
    expect(first.notified).toEqual([false, false, false, false]);
  });

  it('what one did not hear, because it died, is found with what the next one hears', async () => {
    const first = await start([Search]);
    const recording = await start([], { worker: false });
    await recording.dataSource.query(
      `INSERT INTO spark_worker (id, lease_until, host, pid, started_at, channel) VALUES ('dead', 99999999999999, 'h', 1, 1, 'nobody')`,
    );
    await settled([first]);
    const emit = async (id: number) => {
      await recording.spark.emit(sparkEvent('search', id));
      await quiet();
      return handledBy(first, Search).length;
    };
    // The second or the third event is the first one after one that nobody heard of.
    let emitted = 2;
    await emit(1);
    if ((await emit(2)) < 2) await emit(++emitted);
    await until(() => expect(handledBy(first, Search)).toHaveLength(emitted));
    expect(first.notified).toHaveLength(emitted - 1);
  });
});
