import { Injectable } from '@nestjs/common';
import { type DeliveryReport, GroupHandler, sparkEvent } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

const HOUR = 3_600_000;

@Injectable()
class Mails {
  away = false;

  @GroupHandler(/^mail/, { name: 'mails' })
  send() {
    if (this.away) throw new Error('the mail server is away', { cause: new Error('connect ECONNREFUSED') });
  }
}

describe.each(databases)('a delivery is tried for two days, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let kit: SparkTestKit;
  let reports: DeliveryReport[];

  beforeEach(async () => {
    db = await database.create();
    reports = [];
    app = await startApp({
      database: db,
      entities: [],
      providers: [Mails],
      clock: new TestClock('2026-06-01T12:00:00Z'),
    });
    kit = new SparkTestKit(app.app);
    app.spark.deliveries$.subscribe((report) => reports.push(report));
    app.app.get(Mails).away = true;
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  it('an outage of ten minutes loses no mail, and each is sent as long after it as it took at the most', async () => {
    await app.spark.emit(Array.from({ length: 4 }, (_, i) => sparkEvent('mail', i)));
    await kit.advance('10m');
    app.app.get(Mails).away = false;
    await kit.advance('20m');
    const mails = await kit.deliveries('mails');
    expect(new Set(mails.map(({ state }) => state))).toEqual(new Set(['completed']));
    expect(app.logs.filter((line) => line.startsWith('error'))).toEqual([]);
    const [retried] = app.logs.filter((line) => line.includes('mail_0 for mails'));
    expect(retried).toMatch(
      /^warn mail_0 for mails failed at attempt 1, will be retried at 2026-06-01T12:00:0\d\.\d{3}Z: /,
    );
    expect(retried).not.toContain('\n');
  });

  it('what never succeeds is given up after two days, with one error line that says all', async () => {
    await app.spark.emit(sparkEvent('mail', 'lost'));
    const begun = kit.clock.now();
    // Chance shortens the pauses by up to a half, and lengthens none.
    await kit.advance(40 * HOUR);
    expect(await kit.deliveries('mails')).toMatchObject([{ state: 'available' }]);
    await kit.advance(40 * HOUR);
    expect(await kit.deliveries('mails')).toMatchObject([{ state: 'discarded', attempt: 80 }]);
    expect(reports).toHaveLength(80);
    expect(kit.clock.now() - begun).toBe(80 * HOUR);
    const errors = app.logs.filter((line) => line.startsWith('error'));
    expect(errors).toHaveLength(1);
    expect(errors[0]).toContain('mail_lost for mails is discarded after 80 attempts: Error: the mail server is away');
    expect(errors[0]).toContain('Caused by: Error: connect ECONNREFUSED');
  });
});
