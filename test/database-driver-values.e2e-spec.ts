import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, type SourceScope, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { Column, DataSource, Entity, PrimaryColumn, PrimaryGeneratedColumn } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { HOUR, SetClock } from './support/set-clock.js';

@Entity()
class Meeting {
  @PrimaryGeneratedColumn() id: number;
  @Column({ type: 'varchar', length: 200 }) title: string;
  @Column({ type: 'varchar', length: 40, default: 'new' }) state: string;
}

@Entity()
class Place {
  @PrimaryColumn() floor: number;
  @PrimaryColumn({ type: 'varchar', length: 20 }) room: string;
  @Column({ type: 'varchar', length: 40, default: 'free' }) state: string;
}

const EMOJI = 'Größe 🎉';

@Injectable()
class Meetings {
  handled: string[] = [];
  fails = 0;

  @EventSource(Meeting)
  *events(meeting: Meeting, { now }: SourceScope) {
    const context = { meeting, title: `${meeting.title} ${EMOJI}` };
    yield sparkEvent('meeting', meeting.id, context);
    if (meeting.state === 'new')
      yield sparkEvent('meeting_soon', meeting.id, context, { at: new Date(Math.max(now.getTime(), START + HOUR)) });
  }

  @EventSource(Place)
  async places({ floor, room, state }: Place) {
    return [sparkEvent('place', [floor, room], { state }, { occurrence: state })];
  }

  @GroupHandler(/./, { name: 'all', maxAttempts: 2, backoff: { base: '1s', max: '1s' } })
  handle({ key, context }: SparkEvent<{ meeting?: Meeting; title?: string }>) {
    if (this.fails-- > 0) throw new Error(`away ${EMOJI}`);
    this.handled.push(context.meeting ? `${key} ${context.title}` : key);
  }
}

const START = new SetClock().now();

/** What an application may set at its driver, by database. */
const options: Record<(typeof databases)[number]['name'], Record<string, () => object>> = {
  SQLite: { 'as it is': () => ({}) },
  PostgreSQL: {
    'as it is': () => ({}),
    'bigint as a number': () => withParsers({ 20: Number }),
    'bigint as a BigInt': () => withParsers({ 20: BigInt }),
    'bigint as an object, dates as text': () =>
      withParsers({ 20: (text) => new Big(text), 1082: String, 1114: String, 1184: String }),
  },
  MariaDB: {
    'as it is': () => ({}),
    'dates as text, large numbers as text': () => ({
      dateStrings: true,
      supportBigNumbers: true,
      bigNumberStrings: true,
    }),
    'large numbers where they are needed, JSON as text': () => ({
      supportBigNumbers: true,
      bigNumberStrings: false,
      extra: { jsonStrings: true },
    }),
    'a cast of its own, which gives text for all': () => ({
      extra: { typeCast: (field: { string(): string | null }) => field.string() },
    }),
  },
};

class Big {
  constructor(private readonly text: string) {}
  toString() {
    return this.text;
  }
}

function withParsers(parsers: Record<number, (text: string) => unknown>): object {
  return {
    extra: { types: { getTypeParser: (oid: number) => parsers[oid] ?? INTEGERS[oid] ?? ((text: string) => text) } },
  };
}
const INTEGERS: Record<number, (text: string) => unknown> = { 16: (text) => text === 't', 21: Number, 23: Number };

const cases = databases.flatMap((database) =>
  Object.entries(options[database.name]).map(([how, given]) => ({ name: `${database.name}: ${how}`, database, given })),
);

/** One round through all that Spark reads from the database. */
function theWholeRound(make: () => Promise<{ db: TestDatabase; given: object }>) {
  let db: TestDatabase;
  let app: TestApp;
  let meetings: Meetings;
  const clock = new SetClock();

  beforeAll(async () => {
    const made = await make();
    ({ db } = made);
    app = await startApp({
      database: db,
      entities: [Meeting, Place],
      providers: [Meetings],
      clock,
      dataSource: made.given,
      spark: { retention: { completed: '30d', keys: { meeting_soon: '30d' } }, activation: { limit: 0 } },
    });
    meetings = app.app.get(Meetings);
  });
  afterAll(async () => {
    await app?.close();
    await db?.drop();
  });

  const handled = async () => {
    await app.spark.drain();
    return meetings.handled.splice(0).sort();
  };

  it('saves, handles, completes and reports', async () => {
    const reports: unknown[] = [];
    app.spark.deliveries$.subscribe(({ key, state }) => reports.push(`${key} ${state}`));
    await app.dataSource.manager.save(Meeting, { title: 'first' });
    expect(await handled()).toEqual([`meeting_1 first ${EMOJI}`]);
    expect(reports).toEqual(['meeting_1 completed']);
    expect(app.logs.filter((line) => line.includes('taken over'))).toEqual([]);
  });

  it('fails, logs why, and tries again', async () => {
    meetings.fails = 1;
    await app.dataSource.manager.save(Meeting, { title: 'second' });
    expect(await handled()).toEqual([]);
    expect((await app.spark.explain(Meeting, 2)).words.join('\n')).toContain(`away ${EMOJI}`);
    clock.pass(5_000);
    expect(await handled()).toEqual([`meeting_2 second ${EMOJI}`]);
  });

  it('rechecks when the time has come', async () => {
    await app.dataSource.manager.update(Meeting, { id: 2 }, { state: 'cancelled' });
    clock.pass(2 * HOUR);
    expect(await handled()).toEqual([`meeting_soon_1 first ${EMOJI}`]);
  });

  it('composite keys: saved, changed by criteria, explained', async () => {
    await app.dataSource.manager.save(Place, { floor: 1, room: 'a, b' });
    expect(await handled()).toEqual(['place_1,a\\, b@free']);
    await app.dataSource.manager.update(Place, { floor: 1 }, { state: 'taken' });
    expect(await handled()).toEqual(['place_1,a\\, b@taken']);
    expect((await app.spark.explain(Place, [1, 'a, b'])).events).toHaveLength(2);
  });

  it('sweeps, holds, releases, and counts', async () => {
    await app.dataSource.query(`INSERT INTO meeting (title, state) VALUES ('third', 'old')`);
    await app.spark.sweep();
    await app.spark.release('meeting');
    expect(await handled()).toEqual([`meeting_3 third ${EMOJI}`]);
    const status = await app.spark.status();
    expect(status.rechecks).toMatchObject({ due: 0 });
    expect(status.handlers).toMatchObject([{ handler: 'all', available: 0, discarded: 0 }]);
    expect(status.workers).toHaveLength(1);
    expect(status.sources.find(({ source }) => source === 'Meetings.events')).toMatchObject({ foundBySweep: 1 });
  });

  it('discards, retries, replays and forgets', async () => {
    meetings.fails = 2;
    await app.dataSource.manager.save(Meeting, { title: 'fourth', state: 'old' });
    await handled();
    clock.pass(HOUR);
    await handled();
    expect(await app.spark.retry({ handler: 'all' })).toBe(1);
    expect(await handled()).toEqual([`meeting_4 fourth ${EMOJI}`]);
    expect(await app.spark.replay({ handler: 'all', group: 'meeting', repeat: true })).toBe(4);
    expect(await handled()).toHaveLength(4);
    await app.spark.forget(Meeting, 4);
    await app.spark.sweep();
    expect(await handled()).toEqual([`meeting_4 fourth ${EMOJI}`]);
  });
}

describe.each(cases)('Spark reads what the driver gives, on $name', ({ database, given }) => {
  theWholeRound(async () => ({ db: await database.create(), given: given() }));
});

describe.each(
  databases
    .filter(({ name }) => name === 'MariaDB')
    .flatMap((database) => ['latin1', 'utf8mb3'].map((charset) => ({ database, charset }))),
)('what Spark writes survives a database whose default is $charset', ({ database, charset }) => {
  theWholeRound(async () => {
    const db = await database.create();
    const admin = await new DataSource(db.options).initialize();
    await admin.query(`ALTER DATABASE CHARACTER SET ${charset}`);
    await admin.destroy();
    return { db, given: {} };
  });
});
