import { Injectable } from '@nestjs/common';
import { DiscardDelivery, EventSource, GroupHandler, RetryLater, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { SparkHealthIndicator } from 'nestjs-spark/terminus';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, DataSource, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { blockProcess } from './support/block-process.js';
import { databases, type TestDatabase } from './support/databases.js';
import { type Health, type HealthApp, startHealthApp } from './support/health-app.js';
import type { TestAppOptions } from './support/app.js';

@Entity()
class Note {
  @PrimaryGeneratedColumn() id: number;
  @Column() text: string;
}

@Injectable()
class Sources {
  /** What the slow source waits for. */
  hold = async (): Promise<unknown> => undefined;

  @EventSource(Note, { name: 'notes' })
  *notes({ id }: Note) {
    yield sparkEvent('note', id);
  }

  @EventSource(Note, { name: 'slow', live: false })
  async slow({ id }: Note) {
    await this.hold();
    return [sparkEvent('slow_note', id)];
  }
}

@Injectable()
class OldNotes {
  @EventSource(Note, { name: 'old', history: 'held' })
  *old({ id }: Note) {
    yield sparkEvent('old_note', id);
  }
}

@Injectable()
class Mails {
  during = (_event: SparkEvent): unknown => undefined;

  @GroupHandler(/./, { name: 'mails', maxAttempts: 2, backoff: () => 10 })
  send(event: SparkEvent) {
    return this.during(event);
  }
}

@Injectable()
class Letters {
  @GroupHandler(/./, { name: 'letters' })
  send() {}
}

const MINUTE = 60_000;

describe.each(databases)('the health check, on $name', (database) => {
  let db: TestDatabase;
  const apps: HealthApp[] = [];

  beforeEach(async () => {
    db = await database.create();
  });
  afterEach(async () => {
    for (const app of apps.splice(0)) await app.close();
    await db.drop();
  });

  const start = async (options: Partial<TestAppOptions> = {}) => {
    const spark = { worker: { pollInterval: '50ms' } };
    const app = await startHealthApp({
      database: db,
      entities: [Note],
      providers: [Sources, Mails],
      spark,
      ...options,
    });
    apps.push(app);
    return app;
  };
  const save = ({ dataSource }: HealthApp, text = 'new') => dataSource.manager.save(Note, { text });
  const write = ({ dataSource }: HealthApp) => dataSource.query(`INSERT INTO note (text) VALUES ('raw')`);
  /** Asks until the answer is so. */
  const until = async (ask: () => Promise<Health>, isSo: (health: Health) => boolean) => {
    let last: Health | undefined;
    for (const started = Date.now(); Date.now() - started < 10_000; await delay(20))
      if (isSo((last = await ask()))) return last;
    throw new Error(`it never came to that: ${last!.text}`);
  };
  const isUp = ({ status }: Health) => status === 'up';
  const about = (figure: string) => (health: Health) => health.problems.some((problem) => problem.about === figure);

  it('is up with 200, and names no problems, while all is well', async () => {
    const app = await start();
    await save(app);
    const health = await until(app.health, isUp);
    expect(health).toMatchObject({ code: 200, all: 'ok', problems: [], paused: [] });
    expect(health.text).toContain('responseTime');
    await app.spark.drain();
    expect(await app.spark.health()).toMatchObject({
      backlog: [],
      discarded: [],
      orphans: [],
      held: [],
      workers: 1,
      lease: 'held',
    });
  });

  it('tells of the oldest due delivery of each handler, by two limits, until it is handled', async () => {
    const app = await start();
    await app.spark.drain();
    await app.spark.pause();
    await save(app);
    await delay(30);
    expect(await app.health()).toMatchObject({ code: 200, status: 'up' });
    const degraded = await app.health({ backlog: 20 });
    expect(degraded).toMatchObject({ code: 200, all: 'degraded', status: 'degraded' });
    expect(degraded.problems).toEqual([
      {
        about: 'backlog',
        status: 'degraded',
        message: expect.stringMatching(/^Due deliveries wait: mails \(\d+ (ms|seconds?)\)\. The limit is 20ms\.$/),
        advice: expect.stringContaining('worker.concurrency'),
      },
    ]);
    const down = await app.health({ backlog: { degraded: 10, down: '20ms' } });
    expect(down).toMatchObject({ code: 503, all: 'error', status: 'down', problems: [{ status: 'down' }] });
    expect(await app.health({ backlog: { down: '1h' } })).toMatchObject({ code: 200, status: 'up' });
    expect(await app.health({ backlog: false })).toMatchObject({ code: 200, status: 'up' });
    await app.spark.start();
    await until(() => app.health({ backlog: 20 }), isUp);
  });

  it('does not take deliveries for a backlog that are due later, or whose handler is paused; it names that one', async () => {
    const app = await start();
    await app.spark.pauseHandler('mails');
    await save(app);
    await delay(30);
    expect(await app.health({ backlog: 20 })).toMatchObject({ status: 'up', paused: ['mails'] });
    app.app.get(Mails).during = () => Promise.reject(new RetryLater('1h'));
    await app.spark.resumeHandler('mails');
    await app.spark.drain();
    expect(await app.health({ backlog: 20 })).toMatchObject({ status: 'up', paused: [] });
    expect(await app.spark.health()).toMatchObject({ backlog: [], orphans: [] });
  });

  it('says that no process works, if none has a lease', async () => {
    const recorder = await start({ spark: { worker: false } });
    await save(recorder);
    await delay(30);
    const { problems } = await recorder.health({ backlog: 20 });
    expect(problems).toMatchObject([{ about: 'backlog', advice: expect.stringContaining('No process has a lease') }]);
    expect(await recorder.spark.health()).toMatchObject({ workers: 0, lease: 'none' });
  });

  it('counts deliveries that were discarded of late, and forgets them after that', async () => {
    const app = await start();
    const mails = app.app.get(Mails);
    mails.during = () => Promise.reject(new DiscardDelivery('SECRET in an error'));
    await save(app, 'SECRET in a row');
    const { code, problems, text } = await until(app.health, about('discarded'));
    expect(code).toBe(200);
    expect(problems).toEqual([
      {
        about: 'discarded',
        status: 'degraded',
        message: 'Deliveries were discarded within 1h: mails (1). The limit is 0.',
        advice: expect.stringContaining('retry({ handler })'),
      },
    ]);
    expect(text).not.toMatch(/SECRET|note_/);
    mails.during = () => Promise.reject(new Error('fails each time'));
    await save(app);
    await until(() => app.health({ discarded: 1 }), about('discarded'));
    expect(await app.health({ discarded: 2 })).toMatchObject({ status: 'up' });
    expect(await app.health({ discarded: { down: 1 } })).toMatchObject({ code: 503, status: 'down' });
    expect(await app.health({ discarded: false })).toMatchObject({ status: 'up' });
    await delay(60);
    expect(await app.health({ discardedWithin: '50ms' })).toMatchObject({ status: 'up' });
  });

  it('tells of orphans: deliveries whose handler no process has had for five minutes', async () => {
    const before = await start({ providers: [Sources, Letters], spark: { autoStart: false } });
    await save(before);
    await apps.pop()!.close();
    const soon = await start();
    expect(await soon.health()).toMatchObject({ status: 'up' });
    await apps.pop()!.close();
    const later = await start({ clock: { now: () => Date.now() + 6 * MINUTE } });
    const { code, problems } = await later.health();
    expect(code).toBe(200);
    expect(problems).toEqual([
      {
        about: 'orphans',
        status: 'degraded',
        message: 'Deliveries wait for handlers that no process has: letters (1). The limit is 0.',
        advice: expect.stringContaining('aliases'),
      },
    ]);
    expect(await later.health({ orphans: false })).toMatchObject({ status: 'up' });
    await later.spark.discard({ handler: 'letters' });
    expect(await later.health({ discarded: false })).toMatchObject({ status: 'up' });
  });

  it('tells of deliveries that are held, until they are discarded, and does not count them as discarded then', async () => {
    const before = await start({ providers: [Mails] });
    await save(before);
    await apps.pop()!.close();
    const app = await start({ providers: [OldNotes, Mails], spark: { activation: { limit: 0 } } });
    const { problems } = await until(() => app.health({ held: 1 }), about('held'));
    expect(problems).toMatchObject([
      { status: 'degraded', message: expect.stringMatching(/^Deliveries are held: old_note \(.*The limit is 1ms\.$/) },
    ]);
    expect(await app.health()).toMatchObject({ status: 'up' });
    expect(await app.health({ held: false })).toMatchObject({ status: 'up' });
    await app.spark.discard('old_note');
    expect(await app.health({ held: 1 })).toMatchObject({ status: 'up' });
  });

  it('counts at most 1,000 of what is held or has no handler, however many there are', async () => {
    const app = await start({ providers: [Mails], spark: { worker: false } });
    await app.spark.emit(Array.from({ length: 1_100 }, (_, i) => sparkEvent('note', i)));
    await app.dataSource.query(`UPDATE spark_delivery SET handler = 'nobody'`);
    expect((await app.spark.health()).orphans).toMatchObject([{ handler: 'nobody', deliveries: 1_000 }]);
    await app.dataSource.query(`UPDATE spark_delivery SET state = 'held'`);
    expect((await app.spark.health()).held).toMatchObject([{ group: 'note', deliveries: 1_000 }]);
  });

  describe('of sweeps', () => {
    it('tells of one that reads no further rows, until it moves', async () => {
      const app = await start();
      await save(app);
      const sources = app.app.get(Sources);
      let release = () => {};
      const released = new Promise<void>((resolve) => (release = resolve));
      sources.hold = () => released;
      const swept = app.spark.sweep();
      await until(
        () => app.health({ sweepStalled: 100 }),
        (health) => about('sweepStalled')(health) && health.text.includes('slow'),
      );
      expect(await app.health()).toMatchObject({ status: 'up' });
      expect(await app.health({ sweepStalled: false })).toMatchObject({ status: 'up' });
      expect(await app.health({ sweepStalled: { down: 100 } })).toMatchObject({ code: 503, status: 'down' });
      await app.spark.pauseSweep('slow');
      expect(await app.health({ sweepStalled: 100 })).toMatchObject({ status: 'up' });
      await app.spark.resumeSweep('slow');
      release();
      await swept;
      expect(await app.health({ sweepStalled: 100 })).toMatchObject({ status: 'up' });
    });

    it('tells at its first check of one that no process goes on with', async () => {
      const app = await start({ spark: { worker: { leaseTtl: '400ms' } } });
      for (let i = 0; i < 3; i++) await save(app);
      const sources = app.app.get(Sources);
      let begun = () => {};
      const hasBegun = new Promise<void>((resolve) => (begun = resolve));
      sources.hold = () => {
        begun();
        return delay(50);
      };
      const swept = app.spark.sweep({ entity: Note });
      await hasBegun;
      await app.spark.pause();
      await swept;
      await delay(600);
      const { problems } = await app.health({ sweepStalled: 100 });
      expect(problems).toMatchObject([{ about: 'sweepStalled', advice: expect.stringContaining('sweep()') }]);
      await app.spark.sweep();
      expect(await app.health({ sweepStalled: 100 })).toMatchObject({ status: 'up' });
    });

    it('tells of a scheduled one that no process has begun, until one does', async () => {
      const app = await start({ spark: { sweep: { interval: '100ms' }, worker: { leaseTtl: '300ms' } } });
      await save(app);
      await until(() => app.health({ sweepOverdue: 400 }), isUp);
      await app.spark.pause();
      await delay(600);
      const { problems } = await app.health({ sweepOverdue: 400 });
      expect(problems).toMatchObject([
        { status: 'degraded', message: expect.stringMatching(/scheduled sweeps: .*notes \(.*The limit is 400ms\.$/) },
      ]);
      expect(await app.health()).toMatchObject({ status: 'up' });
      expect(await app.health({ sweepOverdue: false })).toMatchObject({ status: 'up' });
      for (const source of ['notes', 'slow']) await app.spark.pauseSweep(source);
      expect(await app.health({ sweepOverdue: 400 })).toMatchObject({ status: 'up' });
      for (const source of ['notes', 'slow']) await app.spark.resumeSweep(source);
      await app.spark.start();
      await until(() => app.health({ sweepOverdue: 400 }), isUp);
    });

    it('counts what live capture missed from the first check on, and forgets it after a while', async () => {
      const app = await start();
      await save(app);
      for (let i = 0; i < 2; i++) await app.spark.sweep();
      await write(app);
      await app.spark.sweep();
      expect(await app.health()).toMatchObject({ status: 'up' });
      await write(app);
      await app.spark.sweep();
      const { code, problems } = await app.health();
      expect(code).toBe(200);
      expect(problems).toMatchObject([
        { about: 'missed', message: expect.stringContaining('within 1d: notes (1). The limit is 0.') },
      ]);
      expect(await app.health({ missed: 1 })).toMatchObject({ status: 'up' });
      expect(await app.health({ missed: false })).toMatchObject({ status: 'up' });
      await delay(60);
      expect(await app.health({ missedWithin: '50ms' })).toMatchObject({ status: 'up' });
      expect(await app.health()).toMatchObject({ status: 'degraded' });
    });
  });

  it('is down while this process has lost its lease, and up when it has it again', async () => {
    const app = await start({ spark: { worker: { leaseTtl: '1500ms' }, statementTimeout: '500ms' } });
    const lost = { about: 'lease', status: 'down', advice: expect.stringContaining('event loop') };
    if (database.name === 'SQLite') {
      // A transaction of another process would keep reads waiting, too.
      expect(await healthAfterBlocking(app, 1_600)).toMatchObject({ spark: { status: 'down', problems: [lost] } });
    } else {
      await app.spark.drain();
      expect(await app.spark.health()).toMatchObject({ lease: 'held' });
      const other = await new DataSource(db.options).initialize();
      const runner = other.createQueryRunner();
      // The renewal of the lease waits for this transaction, and reads do not.
      await runner.startTransaction();
      await runner.query('UPDATE spark_worker SET pid = pid');
      const { code, problems } = await until(app.health, about('lease'));
      expect(code).toBe(503);
      expect(problems).toMatchObject([lost]);
      expect(await app.health({ lease: 'degraded' })).toMatchObject({ code: 200, status: 'degraded' });
      expect(await app.health({ lease: false })).toMatchObject({ code: 200, status: 'up' });
      await runner.rollbackTransaction();
      await other.destroy();
    }
    await until(app.health, isUp);
  });

  /** The result just after a handler has kept the process busy for so many milliseconds. */
  const healthAfterBlocking = (app: HealthApp, ms: number): Promise<object> =>
    new Promise((resolve, reject) => {
      const mails = app.app.get(Mails);
      mails.during = () => {
        mails.during = () => undefined;
        blockProcess(ms);
        app.app.get(SparkHealthIndicator).check('spark').then(resolve, reject);
      };
      save(app).catch(reject);
    });

  it('refuses options that are not valid, by name, instead of a limit that never holds', async () => {
    const app = await start({ providers: [] });
    const refused = async (options: object) => {
      expect(await app.health(options)).toMatchObject({ code: 500 });
      return app.logs.at(-1);
    };
    expect(await refused({ backlog: 'soon' })).toMatch(/check: backlog\.degraded is 'soon'/);
    expect(await refused({ backlogs: '1h' })).toMatch(/check: backlogs is 'unknown'.*one of dataSource/);
    expect(await refused({ orphans: { down: -1 } })).toMatch(/check: orphans\.down is -1/);
    expect(await refused({ held: { broken: 1 } })).toMatch(/check: held\.broken/);
    expect(await refused({ lease: true })).toMatch(/check: lease is true/);
    expect(await refused({ timeout: '100d' })).toMatch(/check: timeout is '100d'.*24 days/);
    expect(await refused({ dataSource: 'nowhere' })).toContain('nowhere');
  });
});
