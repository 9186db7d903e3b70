import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { INestApplicationContext } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { SPARK_CLOCK } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AppModule } from '../apps/challenges/src/app.module.js';
import { Challenge } from '../apps/challenges/src/challenge/challenge.entity.js';
import { ChallengesService } from '../apps/challenges/src/challenge/challenges.service.js';
import { SampleChallenges } from '../apps/challenges/src/challenge/sample-challenges.js';
import { type Letter, PostOffice } from '../apps/challenges/src/mail/post-office.js';
import { settingsFrom } from '../apps/challenges/src/settings.js';
import { databases, type TestDatabase } from './support/databases.js';

const startClock = () => new TestClock('2026-06-01T12:00:00Z');

/** Keeps the letters, each with the time at which it was sent. */
class Letters extends PostOffice {
  private sent: string[] = [];

  constructor(private readonly clock: TestClock) {
    super();
  }

  async send({ key, subject }: Letter): Promise<void> {
    this.sent.push(`${timeOf(this.clock.date)} | ${key} | ${subject}`);
  }

  /** Those that were sent since the last call. */
  take(): string[] {
    return this.sent.splice(0);
  }
}

const timeOf = (date: Date): string => {
  const [day, time] = date.toISOString().split('T');
  return `${day!.slice(5)} ${time!.slice(0, 5)}`;
};

describe.each(databases)('three weeks of the demo, on $name', (database) => {
  let db: TestDatabase;
  let data: string;
  let app: INestApplicationContext;
  let kit: SparkTestKit;
  let letters: Letters;
  let challenges: ChallengesService;
  let known: number;

  beforeEach(async () => {
    known = 0;
    db = await database.create();
    data = await mkdtemp(join(tmpdir(), 'spark-weeks-'));
    const now = startClock();
    letters = new Letters(now);
    const settings = { ...settingsFrom({ DATA: data }), database: db.options };
    const module = await Test.createTestingModule({ imports: [AppModule.forRoot(settings)] })
      .overrideProvider(SPARK_CLOCK)
      .useValue(now)
      .overrideProvider(SampleChallenges)
      .useValue({})
      .overrideProvider(PostOffice)
      .useValue(letters)
      .setLogger({ log: () => {}, error: () => {}, warn: () => {} })
      .compile();
    app = await module.init();
    kit = new SparkTestKit(app);
    challenges = app.get(ChallengesService);
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
    await rm(data, { recursive: true });
  });

  const date = (day: string) => new Date(`2026-${day}:00Z`.replace(' ', 'T'));
  const create = (goal: number | null) =>
    challenges.create({
      title: 'Run 10 km',
      ownerMail: 'ada@example.org',
      startDate: date('06-01 12:00'),
      endDate: date('06-20 12:00'),
      goal,
    });

  /**
   * What has happened to challenges since the last call: when, the key of the event, and the mail. Each event has one mail, at the same
   * time.
   */
  async function happened(): Promise<string[]> {
    const { records } = await kit.spark.events({ entity: Challenge }, { limit: 1_000 });
    const events = records.toReversed().slice(known);
    known = records.length;
    const mails = letters.take().filter((mail) => mail.includes('| challenge'));
    expect(mails.map((mail) => mail.split(' | ').slice(0, 2).join(' | '))).toEqual(
      events.map(({ recorded, key }) => `${timeOf(recorded)} | ${key}`),
    );
    return mails;
  }

  it('pass in one test: each week, after a day at the goal, and on the days of its dates', async () => {
    // Monday, the first of June. Ada wants to run, from now to the twentieth, and to raise 50 EUR.
    const { id } = await create(5_000);
    await kit.drain();
    expect(await happened()).toEqual(['06-01 12:00 | challenge_created_1 | Run 10 km is on']);

    // One donation comes, and no second one in the first two days.
    await kit.advance('1d');
    await challenges.donate(id, { amount: 3_000, donor: 'Grace' });
    await kit.advance('1d');
    expect(await happened()).toEqual(['06-03 12:00 | challenge_inactivity_2d_1 | Run 10 km is waiting for supporters']);

    // The goal is reached. Half a day later, Ada sets a higher one: the first one did not last.
    await kit.advance('2d');
    await challenges.donate(id, { amount: 2_000, donor: 'Alan' });
    await kit.advance('12h');
    await challenges.change(id, { goal: 8_000 });
    await kit.advance('1d');
    expect(await happened()).toEqual([]);

    // She goes back to 50 EUR, and the day begins anew.
    await challenges.change(id, { goal: 5_000 });
    await kit.advance('23h');
    expect(await happened()).toEqual([]);
    await kit.advance('1h');
    expect(await happened()).toEqual(['06-08 00:00 | challenge_goal_1d_1@5000 | Run 10 km has reached its goal']);

    // The first week is over.
    await kit.advance('12h');
    expect(await happened()).toEqual([
      '06-08 12:00 | challenge_week_1@2026-06-08T12:00:00.000Z | Another week of Run 10 km',
    ]);

    // In the second week, the next goal is reached. It is told once, however long it lasts.
    await challenges.change(id, { goal: 8_000 });
    await kit.advance('2d');
    await challenges.donate(id, { amount: 3_500 });
    await kit.advance('5d');
    expect(await happened()).toEqual([
      '06-11 12:00 | challenge_goal_1d_1@8000 | Run 10 km has reached its goal',
      '06-15 12:00 | challenge_week_1@2026-06-15T12:00:00.000Z | Another week of Run 10 km',
    ]);

    // In the third week, Ada puts the end off, to the twenty-second. Both dates move. The week that ends then is not told any more.
    await kit.advance('1d');
    await challenges.change(id, { endDate: date('06-22 12:00') });
    await kit.advance('6d');
    expect(await happened()).toEqual([
      '06-20 12:00 | challenge_ends_2d_1 | Run 10 km ends soon',
      '06-22 12:00 | challenge_ended_1 | Run 10 km is over',
    ]);
    expect(await challenges.list({ page: 1, limit: 1 })).toMatchObject([{ id, isActive: false }]);

    // Then it is quiet, and a sweep finds nothing that was missed.
    await kit.advance('7d');
    expect(await kit.spark.sweep()).toMatchObject({ subjects: 4, entered: 0 });
    await kit.drain();
    expect(await happened()).toEqual([]);
    expect(await kit.spark.rechecks()).toMatchObject({ records: [] });
  });

  it('pass without a goal: nothing is said of one', async () => {
    const { id } = await create(null);
    await challenges.donate(id, { amount: 3_000 });
    await challenges.donate(id, { amount: 3_000 });
    await kit.advance('7d');
    expect(await happened()).toEqual([
      '06-01 12:00 | challenge_created_1 | Run 10 km is on',
      '06-08 12:00 | challenge_week_1@2026-06-08T12:00:00.000Z | Another week of Run 10 km',
    ]);
  });

  it('have one mail of all donations of an hour for each owner, and none at night', async () => {
    const { id } = await create(null);
    const { id: second } = await create(null);
    await kit.drain();
    letters.take();
    await challenges.donate(id, { amount: 3_000, donor: 'Grace' });
    await kit.advance('30m');
    await challenges.donate(second, { amount: 2_000, donor: 'Alan' });
    await kit.advance('29m');
    expect(letters.take()).toEqual([]);
    await kit.advance('1m');
    expect(letters.take()).toEqual(['06-01 13:00 | donation_given_1 | 50.00 EUR for you']);
    // Its hour would end at half past ten in the evening.
    await kit.advance('8h');
    await kit.advance('30m');
    await challenges.donate(id, { amount: 500 });
    await kit.advance('10h');
    expect(letters.take()).toEqual(['06-02 07:00 | donation_given_3 | 5.00 EUR for you']);
  });

  it('pass by sources that can be relied on', async () => {
    await create(5_000);
    await kit.lint();
  });
});
