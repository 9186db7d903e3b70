import { Injectable } from '@nestjs/common';
import { type DeliveryReport, GroupHandler, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { concatMap, defer, finalize, from, interval, map, NEVER, of, throwError, timer } from 'rxjs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

const done: string[] = [];
const work = (name: string) => delay(20).then(() => void done.push(name));

/** An Observable of a library that this application knows nothing of, by the protocol that they share. */
const foreign = (name: string) => ({
  ['@@observable']() {
    return this;
  },
  subscribe(observer: { next(value: unknown): void; complete(): void }) {
    const timeout = setTimeout(() => {
      done.push(name);
      observer.next(1);
      observer.complete();
    }, 20);
    return { unsubscribe: () => clearTimeout(timeout) };
  },
});

/** A promise of another library. */
const thenable = (then: (resolve: () => void, reject: (error: Error) => void) => void) =>
  // oxlint-disable-next-line unicorn/no-thenable
  ({ then });

/** What handlers return, by the group of the event. */
const results: Record<string, (name: string) => unknown> = {
  observable: (name) => timer(20).pipe(map(() => done.push(name))),
  observable_of_promises: (name) => of(1).pipe(map(() => work(name))),
  observable_of_a_promise: (name) => Promise.resolve(defer(() => work(name))),
  foreign_observable: foreign,
  generator: function* (name) {
    yield work(`${name} first`);
    yield defer(() => work(name));
  },
  async_generator: async function* (name) {
    await work(`${name} first`);
    yield 1;
    await work(name);
  },
  promise_of_a_generator: async (name) => results.generator!(name),
  thenable: (name) => thenable((resolve) => void work(name).then(resolve)),
  promises: (name) => [work(`${name} first`), undefined, [work(name)]],
  async_iterable: (name) => ({
    async *[Symbol.asyncIterator]() {
      await work(name);
      yield 1;
    },
  }),
};

const failures: Record<string, () => unknown> = {
  failing_observable: () => timer(5).pipe(concatMap(() => throwError(() => new Error('out of paper')))),
  failing_part: () => of(1, 2).pipe(map((n) => delay(n).then(() => Promise.reject(new Error('out of paper'))))),
  failing_generator: function* () {
    yield 1;
    throw new Error('out of paper');
  },
  failing_thenable: () => thenable((_, reject) => reject(new Error('out of paper'))),
  failing_promises: () => [Promise.reject(new Error('out of paper')), delay(1)],
};

const unusable: Record<string, () => unknown> = {
  a_function: () => () => work('never'),
  a_promise_of_a_function: async () => () => work('never'),
  a_stream: () => Readable.from(['a', 'b']),
  a_web_stream: () => new ReadableStream(),
  a_list_with_a_function: () => [Promise.reject(new Error('its sibling')), () => work('never')],
};

const plain: Record<string, () => unknown> = {
  nothing: () => undefined,
  a_number: () => 7,
  an_object: () => ({ subscribe: () => done.push('subscribed') }),
  a_list: () => [{ id: 1 }, 'text', null],
  a_map: () => new Map([[1, Promise.resolve()]]),
};

@Injectable()
class Handlers {
  @GroupHandler(/^(?!endless)/, { name: 'handler', maxAttempts: 1 })
  handle({ group }: SparkEvent): unknown {
    return { ...results, ...failures, ...unusable, ...plain }[group]!(group);
  }

  @GroupHandler(/^endless_observable/, { name: 'endless', maxAttempts: 1, timeout: 50 })
  endless() {
    return interval(1).pipe(finalize(() => done.push('unsubscribed')));
  }

  @GroupHandler(/^endless_silence/, { name: 'silent', maxAttempts: 1, timeout: 50 })
  silent() {
    return from([NEVER.pipe(finalize(() => done.push('unsubscribed')))]);
  }

  @GroupHandler(/^endless_generator/, { name: 'generating', maxAttempts: 1, timeout: 50 })
  async *generate() {
    try {
      for (;;) yield delay(1);
    } finally {
      done.push('ended');
    }
  }
}

describe.each(databases)('a handler is done when what it returned is, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let reports: DeliveryReport[] = [];

  beforeAll(async () => {
    db = await database.create();
    app = await startApp({ database: db, entities: [], providers: [Handlers] });
    app.spark.deliveries$.subscribe((report) => {
      reports.push(report);
      done.push(`reported ${report.group}`);
    });
  });
  beforeEach(() => {
    reports = [];
    done.length = 0;
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const deliver = async (groups: string[]) => {
    await app.spark.emit(groups.map((group) => sparkEvent(group, 1)));
    await app.spark.drain();
  };
  const states = () => Object.fromEntries(reports.map(({ group, state }) => [group, state]));

  it('Observables, generators, thenables and lists of promises are run to their end before the delivery is completed', async () => {
    await deliver(Object.keys(results));
    for (const group of Object.keys(results)) {
      expect(done).toContain(group);
      expect(done.indexOf(group)).toBeLessThan(done.indexOf(`reported ${group}`));
    }
    expect(states()).toEqual(Object.fromEntries(Object.keys(results).map((group) => [group, 'completed'])));
  });

  it('an error on the way fails the attempt', async () => {
    await deliver(Object.keys(failures));
    expect(states()).toEqual(Object.fromEntries(Object.keys(failures).map((group) => [group, 'discarded'])));
    for (const { error } of reports) expect(error).toContain('out of paper');
  });

  it('a function and a stream cannot be waited for: the attempt fails and says what to return', async () => {
    await deliver(Object.keys(unusable));
    expect(states()).toEqual(Object.fromEntries(Object.keys(unusable).map((group) => [group, 'discarded'])));
    const errors = Object.fromEntries(reports.map(({ group, error }) => [group, error]));
    expect(errors.a_function).toContain('handler returned a function, so Spark cannot know when its work is done.');
    expect(errors.a_promise_of_a_function).toContain('Call it, and return what it gives.');
    expect(errors.a_stream).toContain('Return pipeline(…) of node:stream/promises instead.');
    expect(done).not.toContain('never');
  });

  it('any other value is a result', async () => {
    await deliver(Object.keys(plain));
    expect(states()).toEqual(Object.fromEntries(Object.keys(plain).map((group) => [group, 'completed'])));
    expect(done).not.toContain('subscribed');
  });

  it('what is still at work at the time-out is unsubscribed from, or not continued', async () => {
    await deliver(['endless_observable', 'endless_silence', 'endless_generator']);
    for (let i = 0; i < 500 && !done.includes('ended'); i++) await delay(10);
    expect(Object.values(states())).toEqual(['discarded', 'discarded', 'discarded']);
    expect(done.filter((line) => line === 'unsubscribed')).toHaveLength(2);
    expect(done).toContain('ended');
  });
});
