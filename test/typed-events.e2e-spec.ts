import { Injectable, type Provider } from '@nestjs/common';
import {
  ContextSchemaError,
  type DeliveryReport,
  defineEvent,
  type EventOf,
  EventSource,
  GroupHandler,
  InvalidEventError,
  type SparkEvent,
  sparkEvent,
  SparkInterceptor,
  type StandardSchema,
} from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Challenge {
  @PrimaryColumn() id: number;
  @Column() title: string;
  @Column({ type: 'bigint', transformer: { to: (date: Date) => date.getTime(), from: (ms) => new Date(Number(ms)) } })
  endDate: Date;
}

/** A schema as a library of schemas makes it. */
const schemaOf = <I, O = I>(check: (value: any) => { value: O } | string): StandardSchema<I, O> => ({
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => {
      const result = check(value);
      return typeof result === 'string' ? { issues: [{ message: result, path: ['challenge', 'title'] }] } : result;
    },
  },
});

const handled: { handler: string; event: SparkEvent<any> }[] = [];
const noted = (handler: string, event: SparkEvent<any>) => void handled.push({ handler, event });
const handledBy = (name: string) =>
  handled
    .filter(({ handler }) => handler === name)
    .map(({ event: { key } }) => key)
    .toSorted();

describe.each(databases)('typed events, on $name', (database) => {
  let db: TestDatabase;
  let clock: TestClock;
  const running: TestApp[] = [];

  beforeEach(async () => {
    db = await database.create();
    clock = new TestClock('2026-03-01T10:00:00Z');
    handled.length = 0;
  });
  afterEach(async () => {
    for (const app of running.splice(0)) await app.close();
    await db.drop();
  });

  const start = async (...providers: Provider[]) => {
    const app = await startApp({ database: db, entities: [Challenge], providers, clock });
    running.push(app);
    return app;
  };
  const reportsOf = (app: TestApp) => {
    const reports: DeliveryReport[] = [];
    app.spark.deliveries$.subscribe((report) => reports.push(report));
    return reports;
  };
  const save = (app: TestApp, id: number, title = 'Run', endDate = new Date('2026-03-31T00:00:00Z')) =>
    app.dataSource.manager.save(Challenge, { id, title, endDate });
  const keys = async ({ spark }: TestApp) => (await spark.events()).records.map(({ key }) => key).toSorted();

  const challengeEvent = defineEvent<{ challenge: Challenge }>();
  const created = challengeEvent('challenge_created');
  const ended = challengeEvent('challenge_ended');
  const punctuated = defineEvent('a.b|(c)');

  @Injectable()
  class Source {
    @EventSource(Challenge, { name: 'challenges' })
    *events(challenge: Challenge) {
      yield created(challenge.id, { challenge });
      yield ended(challenge.id, { challenge }, { at: challenge.endDate });
      yield sparkEvent('challenge_ended_2d', challenge.id, { challenge });
    }
  }

  @Injectable()
  class Handlers {
    @GroupHandler(created, { name: 'created' }) created(event: EventOf<typeof created>) {
      noted('created', event);
    }
    @GroupHandler([created, ended], { name: 'both' }) both(event: EventOf<typeof created | typeof ended>) {
      noted('both', event);
    }
    @GroupHandler(ended, { name: 'ended', transactional: true }) ended(event: EventOf<typeof ended>) {
      noted('ended', event);
    }
    @GroupHandler(punctuated, { name: 'punctuated' }) punctuated(event: SparkEvent) {
      noted('punctuated', event);
    }
    @GroupHandler(/^challenge/, { name: 'regex' }) regex(event: SparkEvent<{ challenge: Challenge }>) {
      noted('regex', event);
    }
  }

  it('a handler gets exactly the groups of its definitions, and a regex goes on to match', async () => {
    const app = await start(Source, Handlers);
    await save(app, 1);
    await app.spark.emit(['a.b|(c)', 'aXb', 'c', 'a.b'].map((group) => sparkEvent(group, 1)));
    await new SparkTestKit(app.app).advance('31d');
    expect(handledBy('created')).toEqual(['challenge_created_1']);
    expect(handledBy('ended')).toEqual(['challenge_ended_1']);
    expect(handledBy('both')).toEqual(['challenge_created_1', 'challenge_ended_1']);
    expect(handledBy('regex')).toEqual(['challenge_created_1', 'challenge_ended_1', 'challenge_ended_2d_1']);
    expect(handledBy('punctuated')).toEqual(['a.b|(c)_1']);
    for (const { event } of handled)
      if (event.context) expect(event.context.challenge).toMatchObject({ id: 1, title: 'Run' });
    expect(handled.some(({ event }) => event.context?.challenge instanceof Challenge)).toBe(true);
  });

  it('a process that has only regexes and sparkEvent shares the events with one that has definitions', async () => {
    @Injectable()
    class PlainSource {
      @EventSource(Challenge, { name: 'challenges' })
      *events(challenge: Challenge) {
        yield sparkEvent('challenge_created', challenge.id, { challenge });
      }
    }
    @Injectable()
    class PlainHandlers {
      @GroupHandler(/^challenge/, { name: 'regex' }) regex(event: SparkEvent) {
        noted('regex', event);
      }
    }
    await start(Source, Handlers);
    const old = await start(PlainSource, PlainHandlers);
    // It opens the deliveries of handlers that only the other one has, by the patterns that are registered.
    await save(old, 1);
    for (const app of running) await app.spark.drain();
    expect(handledBy('created')).toEqual(['challenge_created_1']);
    expect(handledBy('both')).toEqual(['challenge_created_1']);
    expect(handledBy('regex')).toEqual(['challenge_created_1']);
    expect(handledBy('ended')).toEqual([]);
  });

  it('the defaults of a definition are those of its events', async () => {
    const reminder = challengeEvent('reminder', { until: ({ challenge }) => challenge.endDate, version: 3 });
    const app = await start(Handlers);
    const challenge = await save(app, 1);
    await app.spark.emit([reminder(1, { challenge }), reminder(2, { challenge }, { until: null })]);
    clock.set('2026-04-01T00:00:00Z');
    await app.spark.emit([reminder(3, { challenge }), reminder(4, { challenge }, { until: null })]);
    const { records } = await app.spark.events();
    expect(records.map(({ key, until, metadata }) => [key, until, metadata])).toEqual([
      ['reminder_4', undefined, { schemaVersion: 3 }],
      ['reminder_2', undefined, { schemaVersion: 3 }],
      ['reminder_1', challenge.endDate, { schemaVersion: 3 }],
    ]);
  });

  describe('a schema', () => {
    const titled = schemaOf<{ challenge: Challenge }>(({ challenge }) =>
      challenge instanceof Challenge && challenge.title !== 'secret'
        ? { value: { challenge } }
        : `"${challenge.title}" is bad`,
    );
    const checked = defineEvent('checked', { schema: titled });
    const refusal = 'its context does not pass its schema: context.challenge.title: "…" is bad';

    @Injectable()
    class CheckedSource {
      @EventSource(Challenge, { name: 'checked' })
      *events(challenge: Challenge) {
        yield sparkEvent('before', challenge.id);
        yield checked(challenge.id, { challenge });
        yield sparkEvent('after', challenge.id);
      }
    }

    @Injectable()
    class CheckedHandler {
      @GroupHandler(checked, { name: 'checked' }) handle(event: EventOf<typeof checked>) {
        noted('checked', event);
      }
    }

    it('makes emit refuse a context that does not pass, and enters nothing', async () => {
      const app = await start(CheckedHandler);
      const challenge = await save(app, 1, 'secret');
      const events = [sparkEvent('good', 1), checked(1, { challenge })];
      const error = await app.spark.emit(events).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(InvalidEventError);
      expect((error as Error).message).toBe(
        `SparkService.emit was given an event (group "checked", key "checked_1") that cannot be entered: ${refusal}`,
      );
      await app.dataSource.transaction((manager) =>
        expect(app.spark.emit(events, { manager })).rejects.toThrow(InvalidEventError),
      );
      expect(await keys(app)).toEqual([]);
    });

    it('refuses the event of a source alone: the save commits, the others are entered, and the next save finds it', async () => {
      const app = await start(CheckedSource, CheckedHandler);
      await app.dataSource.manager.save(Challenge, [
        { id: 1, title: 'secret', endDate: clock.date },
        { id: 2, title: 'Run', endDate: clock.date },
      ]);
      expect(await keys(app)).toEqual(['after_1', 'after_2', 'before_1', 'before_2', 'checked_2']);
      expect((await app.spark.status()).counts.refusedEvents).toBe(1);
      const [line] = app.logs.filter((one) => one.startsWith('error'));
      expect(line).toMatch('checked yielded an event (group "checked", key "checked_1") for Challenge 1');
      expect(line).toMatch(refusal);
      expect(line).not.toMatch('secret');
      const [source] = (await app.spark.explain(Challenge, 1)).sources;
      expect(source!.events).toMatchObject([{ verdict: 'true' }, { verdict: 'refused', reason: refusal }, {}]);
      const planned = [];
      for await (const one of app.spark.plan({ entity: Challenge, id: 1 })) planned.push(one);
      expect(planned).toMatchObject([{ outcome: 'fail', reason: expect.stringContaining(refusal) }]);
      await expect(new SparkTestKit(app.app).lint()).rejects.toThrow(`an event that cannot be entered: ${refusal}`);
      await app.spark.sweep();
      expect(await keys(app)).not.toContain('checked_1');
      await save(app, 1, 'Walk');
      await app.spark.drain();
      expect(handledBy('checked')).toEqual(['checked_1', 'checked_2']);
    });

    it('checks the context also when an interceptor adds metadata', async () => {
      @SparkInterceptor()
      class Tenants {
        metadata = () => ({ tenant: 'acme' });
      }
      const app = await start(CheckedSource, CheckedHandler, Tenants);
      await save(app, 1, 'secret');
      expect(await keys(app)).toEqual(['after_1', 'before_1']);
    });

    it('that waits is refused, in a transaction and out of it', async () => {
      const waiting = defineEvent('waiting', {
        schema: {
          '~standard': { version: 1, vendor: 'test', validate: async (value) => ({ value }) },
        } as StandardSchema<{ challenge: Challenge }>,
      });
      @Injectable()
      class WaitingSource {
        @EventSource(Challenge) *events(challenge: Challenge) {
          yield waiting(challenge.id, { challenge });
        }
      }
      const app = await start(WaitingSource);
      const challenge = await save(app, 1);
      expect(app.logs.find((line) => line.startsWith('error'))).toMatch('the schema of its context is asynchronous');
      await expect(app.spark.emit(waiting(2, { challenge }))).rejects.toThrow(
        'the schema of its context is asynchronous',
      );
      expect(await keys(app)).toEqual([]);
    });

    it('gives handlers its output, and the ledger keeps the input', async () => {
      const paid = defineEvent('paid', {
        schema: schemaOf<{ cents: string; tip?: string }, { cents: number; tip: string }>((value) =>
          /^\d+$/.test(value.cents)
            ? { value: { cents: Number(value.cents), tip: value.tip ?? 'none' } }
            : 'digits, please',
        ),
      });
      @Injectable()
      class Both {
        @GroupHandler(paid, { name: 'output' }) output(event: EventOf<typeof paid>) {
          noted('output', event);
        }
        @GroupHandler(/^paid$/, { name: 'input' }) input(event: SparkEvent) {
          noted('input', event);
        }
      }
      const app = await start(Both);
      await app.spark.emit(paid(1, { cents: '250' }));
      await app.spark.drain();
      const contexts = Object.fromEntries(handled.map(({ handler, event }) => [handler, event.context]));
      expect(contexts).toEqual({ output: { cents: 250, tip: 'none' }, input: { cents: '250' } });
      expect((await app.spark.events()).records[0]!.context).toBe('{"json":{"cents":"250"}}');
    });

    it('sees the saved entity at entry, and the entity as it is now at reading', async () => {
      const seen: unknown[] = [];
      const looking = defineEvent('looking', {
        schema: schemaOf<{ challenge: Challenge | null }>((value) => {
          seen.push(value.challenge instanceof Challenge ? value.challenge.title : value.challenge);
          return { value };
        }),
      });
      @Injectable()
      class Looking {
        @EventSource(Challenge) *events(challenge: Challenge) {
          yield looking(challenge.id, { challenge });
        }
        @GroupHandler(looking, { name: 'looking', missing: 'deliver' }) look(event: EventOf<typeof looking>) {
          noted('looking', event);
        }
      }
      const app = await start(Looking);
      await save(app, 1, 'Run');
      await save(app, 2, 'Swim');
      expect(seen).toEqual(['Run', 'Swim']);
      await app.dataSource.query(`UPDATE challenge SET title = 'Walk' WHERE id = 1`);
      await app.dataSource.query(`DELETE FROM challenge WHERE id = 2`);
      await app.spark.drain();
      expect(seen.slice(2).toSorted()).toEqual(['Walk', null]);
      expect(handledBy('looking')).toEqual(['looking_1', 'looking_2']);
    });

    const withTitle = defineEvent('stored', {
      schema: schemaOf<{ title: string }>((value) => (value.title ? { value } : `Required, not ${value.name}`)),
      version: 2,
    });
    const lenient = defineEvent('stored', {
      schema: schemaOf<{ title?: string; name?: string }, { title: string }>(({ title, name }) => ({
        value: { title: title ?? name! },
      })),
      version: 2,
    });
    const handlerOf = (definition: typeof withTitle | typeof lenient, transactional = false) => {
      @Injectable()
      class Stored {
        @GroupHandler(definition, { name: 'stored', transactional }) handle(event: SparkEvent<{ title: string }>) {
          noted('stored', event);
        }
      }
      return Stored;
    };

    it.each([false, true])(
      'makes the attempt fail when a former release has stored what does not fit, until a release fits (transactional: %s)',
      async (transactional) => {
        const former = await start(handlerOf(withTitle));
        await former.spark.emit(sparkEvent('stored', 1, { name: 'secret' }, { metadata: { schemaVersion: 1 } }));
        await former.spark.emit(withTitle(2, { title: 'Run' }));
        await running.pop()!.close();

        const strict = await start(handlerOf(withTitle, transactional));
        const reports = reportsOf(strict);
        await strict.spark.drain();
        expect(handledBy('stored')).toEqual(['stored_2']);
        const failed = reports.find(({ state }) => state !== 'completed')!;
        expect(failed).toMatchObject({ key: 'stored_1', state: 'available', attempt: 1 });
        expect(failed.error).toMatch(
          `${ContextSchemaError.name}: The stored context of "stored_1" (group "stored") does not fit the schema of this release: its ` +
            `context does not pass its schema: context.challenge.title: Required`,
        );
        expect(failed.error).toMatch('It was stored with version 1 of the schema, and this release has version 2.');
        await running.pop()!.close();

        const fitting = await start(handlerOf(lenient, transactional));
        await new SparkTestKit(fitting.app).advance('5m');
        expect(handledBy('stored')).toEqual(['stored_1', 'stored_2']);
        expect(handled.at(-1)!.event.context).toEqual({ title: 'secret' });
      },
    );

    it('leaves what a later release has stored to the processes of that release, uncharged', async () => {
      const first = defineEvent('stored', { schema: schemaOf<{ title: string }>(() => 'old'), version: 1 });
      const former = await start(handlerOf(first));
      await former.spark.emit(lenient(1, { title: 'Run' }));
      await former.spark.drain();
      expect(await new SparkTestKit(former.app).deliveries('stored')).toMatchObject([
        { key: 'stored_1', state: 'available', attempt: 0, error: null },
      ]);
      expect(former.logs.filter((line) => line.includes('left to other processes'))).toEqual([
        expect.stringContaining('they need the version 2 of stored, which this process does not have'),
      ]);
      const next = await start(handlerOf(lenient));
      await next.spark.drain();
      expect(await new SparkTestKit(next.app).deliveries('stored')).toMatchObject([{ state: 'completed', attempt: 1 }]);
      expect(handledBy('stored')).toEqual(['stored_1']);
    });

    it('does not put off what a later release has stored, however much it is', async () => {
      const first = defineEvent('stored', { schema: schemaOf<{ title: string }>(() => 'old'), version: 1 });
      const spark = { worker: { concurrency: 100, pollInterval: '50ms' } };
      const former = await startApp({ database: db, entities: [], providers: [handlerOf(first)], clock, spark });
      running.push(former);
      await former.spark.emit(Array.from({ length: 2_000 }, (_, i) => lenient(i, { title: 'Run' })));
      await former.spark.drain();
      expect(former.logs.filter((line) => line.includes('left to other'))).toHaveLength(1);
      const [{ due }] = await former.dataSource.query('SELECT MAX(due_at) AS due FROM spark_delivery');
      expect(Number(due)).toBeLessThanOrEqual(clock.now());
    });
  });
});
