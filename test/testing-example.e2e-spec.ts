import type { INestApplicationContext } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { SPARK_CLOCK } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AppModule } from '../apps/challenges/src/app.module.js';
import { ChallengesService } from '../apps/challenges/src/challenge/challenges.service.js';
import { SampleChallenges } from '../apps/challenges/src/challenge/sample-challenges.js';
import { settingsFrom } from '../apps/challenges/src/settings.js';

describe('three days of a challenge', () => {
  let data: string;
  let app: INestApplicationContext;
  let kit: SparkTestKit;
  const clock = () => new TestClock('2026-06-01T12:00:00Z');

  beforeEach(async () => {
    data = await mkdtemp(join(tmpdir(), 'spark-days-'));
    const module = await Test.createTestingModule({ imports: [AppModule.forRoot(settingsFrom({ DATA: data }))] })
      .overrideProvider(SPARK_CLOCK)
      .useValue(clock())
      .overrideProvider(SampleChallenges)
      .useValue({})
      .setLogger({ log: () => {}, error: () => {}, warn: () => {} })
      .compile();
    app = await module.init();
    kit = new SparkTestKit(app);
  });
  afterEach(async () => {
    await app.close();
    await rm(data, { recursive: true });
  });

  const create = (endDate: string) =>
    app.get(ChallengesService).create({
      title: 'Run 10 km',
      ownerMail: 'ada@example.org',
      startDate: new Date('2026-06-01T12:00:00Z'),
      endDate: new Date(endDate),
    });
  const mailed = async () => (await kit.deliveries('challenge-mails')).map(({ group, state }) => `${group} ${state}`);

  it('pass in milliseconds: it is created, nobody donates, it nears its end, it ends and is closed', async () => {
    const { id } = await create('2026-06-04T12:00:00Z');
    await kit.drain();
    expect(await mailed()).toEqual(['challenge_created completed']);

    await kit.advance('1d');
    expect(await mailed()).toEqual(['challenge_created completed', 'challenge_ends_2d completed']);

    await kit.advance('1d');
    expect((await mailed()).at(-1)).toBe('challenge_inactivity_2d completed');

    await kit.advance('1d');
    expect((await mailed()).at(-1)).toBe('challenge_ended completed');
    const [challenge] = await app.get(ChallengesService).list({ page: 1, limit: 1 });
    expect(challenge).toMatchObject({ id, isActive: false });
  });

  it('with two donations in time: nobody is nudged', async () => {
    const { id } = await create('2026-06-30T12:00:00Z');
    await kit.advance('1d');
    await app.get(ChallengesService).donate(id, { amount: 1000, donor: 'Grace' });
    await app.get(ChallengesService).donate(id, { amount: 500, donor: 'Alan' });
    await kit.advance('3d');
    expect(await mailed()).toEqual(['challenge_created completed']);
  });

  it('that is put off ends later, once', async () => {
    const { id } = await create('2026-06-04T12:00:00Z');
    await kit.drain();
    await app.get(ChallengesService).change(id, { endDate: new Date('2026-06-10T12:00:00Z') });
    await kit.advance('5d');
    expect(await kit.events()).not.toContain(`challenge_ended_${id}`);
    await kit.advance('5d');
    expect((await kit.events()).filter((key) => key.startsWith('challenge_ended'))).toEqual([`challenge_ended_${id}`]);
  });

  it('by sources that can be relied on', async () => {
    await create('2026-06-04T12:00:00Z');
    await kit.lint();
  });
});
