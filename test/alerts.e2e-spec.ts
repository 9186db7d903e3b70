import { Injectable, type LoggerService, Scope } from '@nestjs/common';
import { ScheduleModule } from '@nestjs/schedule';
import {
  type AlertCondition,
  DiscardDelivery,
  EventSource,
  GroupHandler,
  InvalidOptionsError,
  OnSparkAlert,
  RequestScopedError,
  type SparkAlert,
  sparkEvent,
  type SparkModuleOptions,
} from 'nestjs-spark';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { Crash } from './support/crash.js';
import { databases, type TestDatabase } from './support/databases.js';
import { emptyTables } from './support/empty-tables.js';
import { inMemory, refusal } from './support/refusal.js';

@Entity()
class Note {
  @PrimaryGeneratedColumn() id: number;
  @Column() text: string;
}

@Injectable()
class Notes {
  @EventSource(Note, { name: 'notes' })
  *notes({ id }: Note) {
    yield sparkEvent('note', id);
  }
}

@Injectable()
class Mails {
  during = (): unknown => undefined;

  @GroupHandler(/^mail/, { name: 'mails' })
  send() {
    return this.during();
  }
}

/** What all pagers have got, in order. */
const calls: { readonly by: Pager; readonly alert: SparkAlert }[] = [];

@Injectable()
class Pager {
  readonly discards: SparkAlert[] = [];
  during: (alert: SparkAlert) => unknown = () => undefined;

  @OnSparkAlert()
  async all(alert: SparkAlert) {
    calls.push({ by: this, alert });
    await this.during(alert);
  }

  @OnSparkAlert('discarded')
  discarded(alert: SparkAlert) {
    this.discards.push(alert);
  }
}

/** What all applications of a test have logged: Nest has one logger for all of a process. */
const lines: string[] = [];
const write = (level: string) => (message: unknown) => void lines.push(`${level} ${String(message)}`);
const logger: LoggerService = { log: write('log'), warn: write('warn'), error: write('error'), debug: write('debug') };

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

interface Inside {
  readonly alertWatch: { run(every: number): Promise<void>; tick(): Promise<number> } | undefined;
  readonly alertTicker: { readonly isStarted: boolean } | undefined;
  readonly maintenance: { run(): Promise<number> };
  readonly chores: { run(...args: unknown[]): Promise<boolean> };
  readonly rechecks: { longestDue(...args: unknown[]): Promise<unknown> };
  readonly lease: object;
  readonly workerTicker: object;
}

const inside = ({ spark }: TestApp): Inside => (spark as unknown as { spark: Inside }).spark;
const watch = (app: TestApp) => inside(app).alertWatch!.run(0);
const pagerOf = ({ app }: TestApp) => app.get(Pager);
const sentTo = (...apps: TestApp[]) =>
  calls.flatMap(({ by, alert }) => (apps.some((app) => pagerOf(app) === by) ? [alert] : []));

describe.each(databases)('alerts, on $name', (database) => {
  let db: TestDatabase;
  let a: TestApp;
  let b: TestApp;
  let shift = 0;
  const clock = { now: () => Date.now() + shift };

  const start = (providers = [Notes, Mails, Pager], more: SparkModuleOptions = {}) => {
    const worker = { leaseTtl: '1s', leaseRenewal: '100ms' };
    const spark = { autoStart: false, sweep: { interval: '1h' }, worker, ...more };
    const imports = [ScheduleModule.forRoot()];
    return startApp({ database: db, entities: [Note], providers, spark, clock, imports, logger });
  };

  beforeAll(async () => {
    db = await database.create();
    [a, b] = [await start(), await start()];
  });
  afterAll(async () => {
    for (const app of [a, b]) await app.close();
    await db.drop();
  });
  beforeEach(async () => {
    calls.length = 0;
    await query('DELETE FROM spark_alert');
    await emptyTables(a.dataSource, ['note']);
    lines.length = 0;
    for (const app of [a, b]) {
      const pager = pagerOf(app);
      pager.discards.length = 0;
      pager.during = () => undefined;
      app.app.get(Mails).during = () => undefined;
    }
  });
  afterEach(() => {
    for (const [part, name] of pretended.splice(0)) delete (part as Record<string, unknown>)[name];
  });

  const pretended: (readonly [part: object, name: string])[] = [];
  /** Lets a part of a process say something else until the test ends. */
  const pretend = (part: object, name: string, value: boolean) => {
    Object.defineProperty(part, name, { value, configurable: true });
    pretended.push([part, name]);
  };
  const query = (sql: string): Promise<any> => a.dataSource.query(sql);
  const rows = () => query('SELECT about, subject, raised_at, ended_at FROM spark_alert ORDER BY id');
  const bothWatch = async () => {
    await Promise.all([watch(a), watch(b)]);
    await watch(a);
    await watch(b);
  };
  /** Lets time pass, while processes say that they are there. */
  const pass = async (by: number) => {
    shift += by;
    await inside(a).maintenance.run();
  };
  const sent = () => sentTo(a, b);
  const notified = () => sent().map(({ condition, subject, state }) => `${condition} ${subject} ${state}`);
  const logged = () => lines.filter((line) => /^(warn|log) .*(discarded|are late|no longer|waits? for)/.test(line));

  /** Discards deliveries of `mails`. */
  async function discard(count = 1) {
    a.app.get(Mails).during = () => Promise.reject(new DiscardDelivery('SECRET'));
    await a.spark.emit(Array.from({ length: count }, (_, i) => sparkEvent('mail', `SECRET${i}`)));
    await a.spark.drain();
    lines.length = 0;
  }

  it('are notified once over all processes, and once when they are over, with a summary', async () => {
    await discard(2);
    await bothWatch();
    expect(sent()).toEqual([
      {
        id: expect.any(String),
        condition: 'discarded',
        subject: 'mails',
        state: 'raised',
        since: expect.any(Date),
        until: undefined,
        summary: '2 deliveries of mails were discarded within 1 hour.',
        advice: expect.stringContaining('retry({ handler })'),
        figures: { deliveries: 2, moreThan: 0, within: HOUR },
        dataSource: 'default',
      },
    ]);
    await pass(61 * MINUTE);
    await bothWatch();
    expect(notified()).toEqual(['discarded mails raised']);
    await pass(6 * MINUTE);
    await bothWatch();
    await bothWatch();
    const [raised, over] = sent();
    expect(sent()).toHaveLength(2);
    expect(over).toMatchObject({ id: raised!.id, state: 'over', since: raised!.since, figures: { deliveries: 2 } });
    expect(over!.until!.getTime() - raised!.since.getTime()).toBeGreaterThanOrEqual(61 * MINUTE);
    expect(over!.summary).toBe('Deliveries of mails are no longer discarded. It lasted 1 hour.');
    expect(over!.advice).toBeUndefined();
    expect([a, b].flatMap((app) => pagerOf(app).discards)).toHaveLength(2);
    expect(logged()).toEqual([
      expect.stringMatching(/^warn 2 deliveries of mails were discarded within 1 hour\. Read the errors: /),
      'log Deliveries of mails are no longer discarded. It lasted 1 hour.',
    ]);
    expect(JSON.stringify([sent(), lines])).not.toContain('SECRET');
  });

  describe('each condition raises one', () => {
    const isSoon: AlertCondition[] = ['discarded', 'missed'];
    const cases: Record<
      AlertCondition,
      { subject: RegExp; summary: RegExp; begin(): Promise<unknown>; end(): Promise<unknown> }
    > = {
      discarded: {
        subject: /^mails$/,
        summary: /^1 delivery of mails was discarded within 1 hour\.$/,
        begin: () => discard(),
        end: () => a.spark.retry({ handler: 'mails' }),
      },
      backlog: {
        subject: /^mails$/,
        summary: /^Deliveries of mails are late: the oldest has been due for 16 minutes\.$/,
        begin: async () => {
          await a.spark.emit(sparkEvent('mail', 1));
          await pass(16 * MINUTE);
        },
        end: () => a.spark.drain(),
      },
      missed: {
        subject: /^notes$/,
        summary: /^Sweeps have found 1 event of notes that live capture missed\.$/,
        begin: async () => {
          await a.dataSource.manager.save(Note, { text: 'new' });
          for (let i = 0; i < 2; i++) await a.spark.sweep();
          await watch(a);
          expect(notified()).toEqual([]);
          await query(`INSERT INTO note (text) VALUES ('raw')`);
          await a.spark.sweep();
        },
        end: () => pass(HOUR),
      },
      orphans: {
        subject: /^letters$/,
        summary: /^1 delivery waits for letters, a handler that no process has\.$/,
        begin: async () => {
          await a.spark.emit(sparkEvent('mail', 1));
          await query(`UPDATE spark_delivery SET handler = 'letters'`);
        },
        end: () => query('DELETE FROM spark_delivery'),
      },
      held: {
        subject: /^mail$/,
        summary: /^1 delivery of mail is held, the oldest for 2 hours\.$/,
        begin: async () => {
          await a.spark.emit(sparkEvent('mail', 1));
          await query(`UPDATE spark_delivery SET state = 'held', due_at = due_at - ${2 * HOUR}`);
        },
        end: () => a.spark.release('mail').then(() => a.spark.drain()),
      },
      sweepStalled: {
        subject: /^notes$/,
        summary: /^A sweep of notes has begun and has read no further rows for 31 minutes\.$/,
        begin: async () => {
          await a.spark.sweep();
          await query(`UPDATE spark_sweep SET began_at = ${Date.now() - 1_000} WHERE source = 'notes'`);
          await watch(a);
          await pass(31 * MINUTE);
        },
        end: () => query(`UPDATE spark_sweep SET began_at = NULL`),
      },
      sweepOverdue: {
        subject: /^notes$/,
        summary: /^A scheduled sweep of notes has been due for 2 hours, and no process has begun it\.$/,
        begin: async () => {
          await a.spark.sweep();
          const slot = (Math.floor(Date.now() / HOUR) - 3) * HOUR;
          await query(`UPDATE spark_sweep SET slot = ${slot} WHERE source = 'notes'`);
        },
        end: () => query(`UPDATE spark_sweep SET slot = NULL`),
      },
      rechecks: {
        subject: /^note$/,
        summary: /^Rechecks of note are late: the oldest has been due for 16 minutes\.$/,
        begin: () =>
          query(`INSERT INTO spark_recheck (entity, entity_id, due_at, attempt, depth)
            VALUES ('note', '1', ${clock.now() - 16 * MINUTE}, 0, 0)`),
        end: () => query('DELETE FROM spark_recheck'),
      },
      lease: {
        subject: /\(pid \d+\)$/,
        summary: /^The process .* has no lease, so it handles no deliveries\.$/,
        begin: async () => {
          const { lease, workerTicker } = inside(a);
          pretend(workerTicker, 'isStarted', true);
          pretend(lease, 'isTaken', true);
          pretend(lease, 'isHeld', false);
        },
        end: async () => pretend(inside(a).lease, 'isHeld', true),
      },
    };

    it.each(Object.keys(cases) as AlertCondition[])('%s', async (condition) => {
      const { subject, summary, begin, end } = cases[condition];
      await begin();
      await bothWatch();
      expect(notified()).toHaveLength(isSoon.includes(condition) ? 1 : 0);
      // The sentences round to minutes.
      shift += 45_000;
      await bothWatch();
      expect(notified()).toHaveLength(1);
      const [raised] = sent();
      expect(raised).toMatchObject({ condition, state: 'raised' });
      expect(raised!.subject).toMatch(subject);
      expect(raised!.summary.replace(/1[67] minutes/, '16 minutes').replace(/3[12] minutes/, '31 minutes')).toMatch(
        condition === 'sweepOverdue' ? /has been due for [23] hours, and no process has begun it\.$/ : summary,
      );
      expect(raised!.advice).toMatch(/\w{3}.*\.$/s);
      await end();
      await bothWatch();
      await pass(4 * MINUTE);
      await bothWatch();
      expect(notified()).toHaveLength(1);
      await pass(condition === 'missed' ? 24 * HOUR : 2 * MINUTE);
      await bothWatch();
      expect(notified()).toEqual([`${condition} ${raised!.subject} raised`, `${condition} ${raised!.subject} over`]);
      expect(sent()[1]!.summary).toMatch(/^[A-Z].*\. It lasted .*\.$/);
    });

    it('lease, and it is over when its process is gone', async () => {
      await cases.lease.begin();
      await watch(a);
      await pass(MINUTE);
      await watch(a);
      pretend(inside(a).workerTicker, 'isStarted', false);
      await pass(4 * MINUTE);
      await watch(b);
      await pass(6 * MINUTE);
      await watch(b);
      expect(notified()).toEqual([expect.stringMatching(/raised$/)]);
      await pass(6 * MINUTE);
      await watch(b);
      expect(notified()).toEqual([expect.stringMatching(/raised$/), expect.stringMatching(/over$/)]);
    });
  });

  it('a condition that passes soon raises none, and one that comes back soon is the same alert', async () => {
    let events = 0;
    const late = async () => {
      await a.spark.emit(sparkEvent('mail', ++events));
      await query(`UPDATE spark_delivery SET due_at = due_at - ${16 * MINUTE} WHERE state = 'available'`);
      await watch(a);
    };
    const handle = async () => {
      await a.spark.drain();
      await watch(a);
    };
    await late();
    expect(await rows()).toMatchObject([{ about: 'backlog', raised_at: null }]);
    await handle();
    expect(await rows()).toEqual([]);
    await late();
    await pass(MINUTE);
    await watch(a);
    for (let i = 0; i < 3; i++) {
      await handle();
      await pass(3 * MINUTE);
      await watch(a);
      await late();
    }
    expect(notified()).toEqual(['backlog mails raised']);
    expect(await rows()).toHaveLength(1);
  });

  it('a process that stalled changes nothing when another one has judged meanwhile', async () => {
    await a.spark.emit(sparkEvent('mail', 1));
    await pass(16 * MINUTE);
    const { rechecks } = inside(a);
    let goOn = (): void => {};
    const stall = new Promise<void>((resolve) => (goOn = resolve));
    const ask = rechecks.longestDue.bind(rechecks);
    rechecks.longestDue = async (...given) => {
      await stall;
      return ask(...given);
    };
    const stalled = watch(a);
    // As if its lease had run out.
    await vi.waitFor(async () => {
      await query('UPDATE spark_chore SET held_until = 0');
      expect(await query(`SELECT holder FROM spark_chore WHERE name = 'alerts'`)).toEqual([
        { holder: expect.any(String) },
      ]);
      expect(await inside(b).chores.run('alerts', 0, async () => undefined)).toBe(true);
    }, 10_000);
    goOn();
    await stalled;
    rechecks.longestDue = ask;
    expect(await rows()).toEqual([]);
  });

  it('what is stored when its process dies is sent by another one', async () => {
    const dying = await start();
    const crash = new Crash(dying.dataSource);
    await discard();
    const { chores } = inside(dying);
    const run = chores.run.bind(chores);
    chores.run = async (...given) => {
      const isDone = await run(...given);
      crash.after(0);
      return isDone;
    };
    await expect(watch(dying)).rejects.toThrow('the process is gone');
    expect(sentTo(dying)).toEqual([]);
    await watch(b);
    expect(notified()).toEqual(['discarded mails raised']);
    await dying.close();
  });

  it('what is sent when its process dies is sent again, once, when its time to send is over', async () => {
    const dying = await start();
    const crash = new Crash(dying.dataSource);
    await discard();
    pagerOf(dying).during = () => crash.after(0);
    await expect(watch(dying)).rejects.toThrow('the process is gone');
    expect(sentTo(dying)).toHaveLength(1);
    await bothWatch();
    expect(notified()).toEqual([]);
    // As if its time had passed.
    await query('UPDATE spark_alert SET notifying_until = 0');
    await bothWatch();
    expect(notified()).toEqual(['discarded mails raised']);
    expect(sent()[0]!.id).toBe(sentTo(dying)[0]!.id);
    await dying.close();
  });

  it('a listener that throws is notified again after a while, and the others are not', async () => {
    const failed = async () => (await a.spark.status()).counts.failedAlerts;
    const before = await failed();
    await discard();
    pagerOf(a).during = () => Promise.reject(new Error('the chat is away'));
    await watch(a);
    expect(pagerOf(a).discards).toHaveLength(1);
    expect(await failed()).toBe(before + 1);
    expect(lines.find((line) => line.startsWith('error'))).toMatch(
      /^error Pager\.all has failed, and is notified again\. Error: the chat is away/,
    );
    await bothWatch();
    expect(sent()).toHaveLength(1);
    const [{ notifying_until: until }] = await query('SELECT notifying_until FROM spark_alert');
    expect(Number(until) - Date.now()).toBeGreaterThan(30_000);
    await query('UPDATE spark_alert SET notifying_until = 0');
    await bothWatch();
    expect(notified()).toEqual(['discarded mails raised', 'discarded mails raised']);
    expect([a, b].flatMap((app) => pagerOf(app).discards)).toHaveLength(1);
    expect(logged()).toHaveLength(1);
  });

  it('what is over before anybody was notified is sent with both', async () => {
    await discard();
    for (const app of [a, b]) pagerOf(app).during = () => Promise.reject(new Error('away'));
    await watch(a);
    await pass(61 * MINUTE);
    await watch(a);
    await pass(6 * MINUTE);
    await watch(a);
    for (const app of [a, b]) pagerOf(app).during = () => undefined;
    calls.length = 0;
    await query('UPDATE spark_alert SET notifying_until = 0');
    await bothWatch();
    expect(notified()).toEqual(['discarded mails raised', 'discarded mails over']);
  });

  it('a process without a listener leaves the alert to those that have it, and what it has sent is not sent again', async () => {
    const other = await start([Notes, Mails]);
    await discard();
    await watch(other);
    expect(logged()).toHaveLength(1);
    lines.length = 0;
    await watch(b);
    expect(notified()).toEqual(['discarded mails raised']);
    expect(logged()).toEqual([]);
    await other.close();
  });

  it('a process leaves what it does not know: other sources, and conditions of a later release', async () => {
    const columns = 'about, subject, since, raised_at, seen_at, ended_at, figures, attempt';
    const now = clock.now();
    for (const about of ['missed', 'future'])
      await query(
        `INSERT INTO spark_alert (${columns}) VALUES ('${about}', 'elsewhere', ${now}, ${now}, ${now}, 0, '{"events":1}', 0)`,
      );
    for (let i = 0; i < 3; i++) {
      await watch(a);
      await pass(25 * HOUR);
    }
    expect(notified()).toEqual(['missed elsewhere raised']);
    expect((await rows()).map((row: { ended_at: string }) => Number(row.ended_at))).toEqual([0, 0]);
    await pass(31 * 24 * HOUR);
    await watch(a);
    expect(await rows()).toEqual([]);
  });

  it('those that are over are removed after retention.alerts', async () => {
    await discard();
    await watch(a);
    await pass(61 * MINUTE);
    await watch(a);
    await pass(6 * MINUTE);
    await watch(a);
    await pass(29 * 24 * HOUR);
    await watch(a);
    expect(await rows()).toHaveLength(1);
    await pass(2 * 24 * HOUR);
    await watch(a);
    expect(await rows()).toEqual([]);
  });

  it('a process begins with its second minute, and one of all judges in each', async () => {
    const app = await start();
    await discard();
    const { alertWatch, chores } = inside(app);
    const judges = vi.spyOn(chores, 'run');
    await query('DELETE FROM spark_chore');
    await alertWatch!.tick();
    expect(judges).not.toHaveBeenCalled();
    await alertWatch!.tick();
    await alertWatch!.tick();
    expect(await Promise.all(judges.mock.results.map(({ value }) => value as Promise<boolean>))).toEqual([true, false]);
    expect(sentTo(app)).toHaveLength(1);
    await app.close();
  });
});

describe('the options of alerts, on SQLite', () => {
  const boot = (spark: SparkModuleOptions, providers = [Mails, Pager] as (typeof Mails | typeof Pager)[]) =>
    startApp({ database: inMemory(), entities: [], providers, logger, spark: { autoStart: false, ...spark } });
  const discard = async (app: TestApp, count: number) => {
    app.app.get(Mails).during = () => Promise.reject(new DiscardDelivery('no'));
    await app.spark.emit(Array.from({ length: count }, (_, i) => sparkEvent('mail', i)));
    await app.spark.drain();
    lines.length = 0;
  };

  it('say from when on, who is notified, and that nothing is logged', async () => {
    const all: SparkAlert[] = [];
    const discards: SparkAlert[] = [];
    const app = await boot({
      alerts: {
        onAlert: (alert) => all.push(alert),
        onDiscarded: { moreThan: 2, within: '30m', notify: (alert) => void discards.push(alert) },
        onBacklog: false,
        logger: false,
      },
    });
    await discard(app, 2);
    await watch(app);
    expect(all).toEqual([]);
    await app.spark.emit(sparkEvent('mail', 'third'));
    await app.spark.drain();
    lines.length = 0;
    await watch(app);
    expect(all).toMatchObject([{ figures: { deliveries: 3, moreThan: 2, within: 30 * MINUTE } }]);
    expect(discards).toHaveLength(1);
    expect(sentTo(app)).toHaveLength(1);
    expect(lines).toEqual([]);
    await app.close();
  });

  it.each<[string, SparkModuleOptions]>([
    ['alerts: false', { alerts: false }],
    ['worker: false', { worker: false }],
  ])('%s: the process watches nothing', async (_, options) => {
    const app = await boot({ ...options, autoStart: true });
    expect(inside(app).alertWatch).toBeUndefined();
    await app.close();
  });

  it('a process watches while it runs', async () => {
    const app = await boot({ autoStart: true });
    expect(inside(app).alertTicker!.isStarted).toBe(true);
    await app.close();
    expect(inside(app).alertTicker!.isStarted).toBe(false);
  });

  it('a listener that hangs is late after ten seconds, and delays no other alert longer', async () => {
    const app = await boot({ alerts: { logger: false } });
    pagerOf(app).during = () => new Promise(() => undefined);
    await discard(app, 1);
    const columns = 'about, subject, since, raised_at, seen_at, ended_at, figures, attempt';
    const now = Date.now();
    await app.dataSource.query(
      `INSERT INTO spark_alert (${columns}) VALUES ('missed', 'elsewhere', ${now}, ${now}, ${now}, 0, '{}', 0)`,
    );
    const wait = globalThis.setTimeout;
    const sooner = (call: () => void, delay: number) => wait(call, delay === 10_000 ? 20 : delay);
    const timers = vi.spyOn(globalThis, 'setTimeout').mockImplementation(sooner as never);
    await watch(app);
    timers.mockRestore();
    expect(lines).toEqual([expect.stringContaining('It has not ended within 10000 ms.')]);
    expect(sentTo(app)).toHaveLength(1);
    await app.close();
  });

  it('listeners that cannot be called, or ask for what does not exist, are refused at boot', async () => {
    const unknown = ['discarded', 'nothing'] as never;
    class Wrong {
      @OnSparkAlert(unknown) hear() {}
    }
    @Injectable({ scope: Scope.REQUEST })
    class Scoped {
      @OnSparkAlert() hear() {}
    }
    const wrong = await refusal({ entities: [], providers: [Wrong] });
    expect(wrong).toBeInstanceOf(InvalidOptionsError);
    expect(wrong.message).toMatch(/conditions of @OnSparkAlert on Wrong\.hear .*Expected: some of discarded, backlog/);
    expect(await refusal({ entities: [], providers: [Scoped] })).toBeInstanceOf(RequestScopedError);
  });
});
