import { ConsoleLogger, Injectable } from '@nestjs/common';
import { DiscardDelivery, EventSource, GroupHandler, sparkEvent } from 'nestjs-spark';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Note {
  @PrimaryGeneratedColumn() id: number;
  @Column() text: string;
}

@Injectable()
class Notes {
  fails = false;

  @EventSource(Note, { name: 'notes' })
  *notes({ id, text }: Note) {
    if (this.fails) throw new Error('no source', { cause: new RangeError('too far') });
    yield sparkEvent('note', id, { text }, { metadata: { tenant: 'SECRET tenant' } });
  }
}

@Injectable()
class Mails {
  during = (): unknown => undefined;

  @GroupHandler(/^note/, { name: 'mails', maxAttempts: 3, backoff: () => 1 })
  send() {
    return this.during();
  }
}

/** Nest's JSON logger, which keeps what it would print. */
class JsonLogger extends ConsoleLogger {
  readonly lines: any[] = [];

  constructor() {
    super({ json: true });
  }

  protected override printAsJson(message: unknown, options: never): void {
    this.lines.push(JSON.parse(this.stringifyJsonLogObject(this.getJsonLogObject(message, options))));
  }
}

describe.each(databases)('what is logged has fields for machines, on $name', (database) => {
  const logger = new JsonLogger();
  let db: TestDatabase;
  let app: TestApp;

  beforeAll(async () => {
    db = await database.create();
    const spark = { autoStart: false };
    app = await startApp({ database: db, entities: [Note], providers: [Notes, Mails], spark, logger });
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });
  afterEach(() => {
    const all = JSON.stringify(logger.lines.splice(0));
    if (all.includes('SECRET')) throw new Error(`A line holds data of an event: ${all}`);
  });

  const save = () => app.dataSource.manager.save(Note, { text: 'SECRET text' });
  const lines = (pattern: RegExp) => logger.lines.filter(({ message }) => pattern.test(message));

  it('a failed attempt, and a delivery that is given up: handler, key, attempt, and the error with its causes', async () => {
    const cause = Object.assign(new Error('connect'), { code: 'ECONNREFUSED', parameters: ['SECRET'] });
    app.app.get(Mails).during = () => Promise.reject(new TypeError('not sent', { cause }));
    const { id } = await save();
    await vi.waitFor(async () => {
      await app.spark.drain();
      expect(lines(/is discarded/)).toHaveLength(1);
    }, 10_000);
    const fields = { handler: 'mails', key: `note_${id}`, group: 'note', deliveryId: expect.any(String) };
    const error = {
      name: 'TypeError',
      message: 'not sent',
      stack: expect.stringContaining('log-fields'),
      causes: [{ name: 'Error', message: 'connect', code: 'ECONNREFUSED', stack: expect.any(String) }],
    };
    const due = expect.stringMatching(/^\d{4}-.*Z$/);
    const durationMs = expect.any(Number);
    expect(lines(/failed at attempt/).map(({ level, params }) => ({ level, ...params }))).toEqual(
      [1, 2].map((attempt) => ({ level: 'warn', ...fields, attempt, state: 'available', due, durationMs, error })),
    );
    expect(lines(/is discarded/)).toMatchObject([
      { level: 'error', context: 'Spark', params: { ...fields, attempt: 3, state: 'discarded', durationMs, error } },
    ]);
  });

  it('a delivery that is given up at once, and one that fails with what is no error', async () => {
    const thrown: unknown[] = [new DiscardDelivery('not wanted'), 'text'];
    app.app.get(Mails).during = () => Promise.reject(thrown.shift() ?? new DiscardDelivery('over'));
    await save();
    await save();
    await vi.waitFor(async () => {
      await app.spark.drain();
      expect(lines(/is discarded/)).toHaveLength(2);
    }, 10_000);
    expect(
      lines(/is discarded/)
        .map(({ params }) => params.error.message)
        .sort(),
    ).toEqual(['not wanted', 'over']);
    expect(lines(/failed at attempt/).map(({ params }) => params.error)).toEqual([{ message: 'text' }]);
  });

  it('a source that fails: source, entity, attempt and the error, and how often a line was left out', async () => {
    app.app.get(Notes).fails = true;
    const { id } = await save();
    app.app.get(Notes).fails = false;
    expect(lines(/^notes failed/)).toMatchObject([
      {
        level: 'error',
        params: {
          problem: 'failedEntities',
          about: 'notes',
          omitted: 0,
          source: 'notes',
          entity: 'Note',
          entityId: String(id),
          attempt: expect.any(Number),
          error: { message: 'no source', causes: [{ name: 'RangeError', message: 'too far' }] },
        },
      },
    ]);
    await app.spark.drain();
  });

  it('a sweep: what it has read and entered', async () => {
    const report = await app.spark.sweep();
    expect(lines(/^Sweep: /)).toMatchObject([{ level: 'log', params: { ...report } }]);
  });
});
