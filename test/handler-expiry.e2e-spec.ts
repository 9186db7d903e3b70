import { Injectable, type Provider } from '@nestjs/common';
import { GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { TestClock } from 'nestjs-spark/testing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { DAY, HOUR, MINUTE } from './support/set-clock.js';

@Injectable()
class Mails {
  readonly handled: string[] = [];
  @GroupHandler(/./, { name: 'mails' }) send({ key }: SparkEvent) {
    this.handled.push(key);
  }
}

describe.each(databases)('a handler expires when no process has had it for long, on $name', (database) => {
  let db: TestDatabase;
  let clock: TestClock;
  const running: TestApp[] = [];

  beforeEach(async () => {
    db = await database.create();
    clock = new TestClock();
  });
  afterEach(async () => {
    for (const app of running.splice(0)) await app.close();
    await db.drop();
  });

  const start = async (providers: Provider[], handlerExpiry?: string) => {
    const app = await startApp({ database: db, entities: [], providers, clock, spark: { handlerExpiry } });
    running.push(app);
    return app;
  };
  const stop = async (app: TestApp) => {
    running.splice(running.indexOf(app), 1);
    await app.close();
  };
  const pass = (milliseconds: number) => clock.set(clock.now() + milliseconds);
  const opened = async ({ spark }: TestApp) => {
    const { records } = await spark.deliveries();
    return records.map(({ event, handler, state }) => `${handler} ${event.key} ${state}`).toSorted();
  };
  /** What a process does each minute: it says that its handlers are there, and reads who else is. */
  const minute = async ({ spark, dataSource }: TestApp) => {
    const { registered } = (spark as unknown as { spark: { registered: Registered } }).spark;
    await registered.seen(dataSource.manager, clock.now());
  };
  interface Registered {
    seen(manager: unknown, now: number): Promise<void>;
  }

  it.each([
    ['7 days, unless another time is said', undefined, 7 * DAY],
    ['the handlerExpiry that is said', '3h', 3 * HOUR],
  ])('after %s: what came before is kept for it, and what comes then is not', async (_, handlerExpiry, expiry) => {
    await stop(await start([Mails], handlerExpiry));
    pass(expiry - 1_000);
    const before = await start([], handlerExpiry);
    await before.spark.emit(sparkEvent('thing', 1));
    await stop(before);
    pass(1_000);
    const after = await start([], handlerExpiry);
    await after.spark.emit(sparkEvent('thing', 2));
    expect(await opened(after)).toEqual(['mails thing_1 available']);
    await stop(after);

    const back = await start([Mails], handlerExpiry);
    await back.spark.emit(sparkEvent('thing', 3));
    await back.spark.drain();
    expect(back.app.get(Mails).handled.toSorted()).toEqual(['thing_1', 'thing_3']);
    expect(await back.spark.replay({ handler: 'mails' })).toBe(1);
    await back.spark.drain();
    expect(back.app.get(Mails).handled.toSorted()).toEqual(['thing_1', 'thing_2', 'thing_3']);
  });

  it('also for a process that is running when it expires', async () => {
    await stop(await start([Mails], '1h'));
    const recorder = await start([], '1h');
    await recorder.spark.emit(sparkEvent('thing', 1));
    pass(HOUR);
    await minute(recorder);
    await recorder.spark.emit(sparkEvent('thing', 2));
    expect(await opened(recorder)).toEqual(['mails thing_1 available']);
  });

  it('and never while a process has it', async () => {
    const owner = await start([Mails], '1h');
    const recorder = await start([], '1h');
    for (let i = 0; i < 150; i++) {
      pass(MINUTE);
      await minute(owner);
      if (i % 50 === 0) await minute(recorder);
    }
    await minute(recorder);
    await recorder.spark.emit(sparkEvent('thing', 1));
    expect(await opened(recorder)).toEqual(['mails thing_1 available']);
    await owner.spark.drain();
    expect(owner.app.get(Mails).handled).toEqual(['thing_1']);
  });

  it('each process goes by its own handlerExpiry, and knows its own handlers whatever that is', async () => {
    const owner = await start([Mails], '5m');
    const [hasty, patient] = [await start([], '5m'), await start([], '1d')];
    pass(HOUR);
    for (const app of [hasty, patient]) await minute(app);
    await hasty.spark.emit(sparkEvent('hasty', 1));
    await patient.spark.emit(sparkEvent('patient', 1));
    await owner.spark.emit(sparkEvent('owner', 1));
    expect(await opened(owner)).toEqual(['mails owner_1 available', 'mails patient_1 available']);
  });

  it('one that was thought to be gone gets the very next event after its process says that it has it', async () => {
    const owner = await start([Mails], '5m');
    const recorder = await start([], '5m');
    pass(HOUR);
    await minute(recorder);
    await recorder.spark.emit(sparkEvent('thing', 1));
    await minute(owner);
    await recorder.spark.emit(sparkEvent('thing', 2));
    await vi.waitFor(async () => expect(await opened(recorder)).toEqual(['mails thing_2 available']));
  });

  it('a time in which a process that is there may not say so is refused', async () => {
    await expect(start([Mails], '299s')).rejects.toThrow(
      "Spark's option handlerExpiry is '299s'. Expected: at least 5 minutes.",
    );
    const owner = await start([Mails], '5m');
    const recorder = await start([], '5m');
    // It says so each minute, and the database may be away at some of them.
    pass(4 * MINUTE);
    await minute(recorder);
    pass(30_000);
    await minute(owner);
    await recorder.spark.emit(sparkEvent('thing', 1));
    expect(await opened(recorder)).toEqual(['mails thing_1 available']);
  });
});
