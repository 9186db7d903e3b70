import { setTimeout as delay } from 'node:timers/promises';
import { ForbiddenException, Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import { type DashboardAct, type DashboardAudit, SparkDashboardModule } from 'nestjs-spark-dashboard';
import { TestClock } from 'nestjs-spark/testing';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { checkedPage, type DashboardApp, dashboardArms, startDashboardApp, textOf } from './support/dashboard-app.js';
import type { TestDatabase } from './support/databases.js';
import { ParcelHandlers } from './support/parcels.js';

@Entity()
class Slow {
  @PrimaryColumn() id: number;
  @Column() name: string;
}

/** Takes a tenth of a second for each page of 500 entities. */
@Injectable()
class SlowSource {
  static runs = 0;

  @EventSource(Slow, { name: 'slow', batch: true })
  async events(all: Slow[]) {
    SlowSource.runs++;
    await delay(100);
    return all.map(({ id }) => sparkEvent('slow', id));
  }
}

const SAME = { 'Sec-Fetch-Site': 'same-origin' };
describe.each(dashboardArms)('work that takes long, on $name with $framework:', ({ create, framework }) => {
  const audit: DashboardAudit[] = [];
  const acts: DashboardAct[] = [];
  let around: (next: () => Promise<void>) => unknown = (next) => next();
  let db: TestDatabase;
  let app: DashboardApp;
  let url: string;

  beforeAll(async () => {
    db = await create();
    app = await startDashboardApp({
      database: db,
      framework,
      entities: [Slow],
      providers: [ParcelHandlers, SlowSource],
      dashboards: [
        SparkDashboardModule.forRoot({
          access: () => 'all',
          user: ({ headers }) => headers['x-user'],
          auditLog: (entry) => void audit.push(entry),
          interceptor: (act, next) => {
            acts.push(act);
            return around(next);
          },
        }),
      ],
      clock: new TestClock('2026-03-01T10:00:00Z'),
    });
    url = `${await app.listen()}/spark/`;
    const rows = Array.from({ length: 20_000 }, (_, i) => `(${i}, 'a')`);
    await app.dataSource.query(`INSERT INTO slow (id, name) VALUES ${rows.join()}`);
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });
  beforeEach(() => {
    audit.length = acts.length = 0;
    around = (next) => next();
  });

  const emit = (group: string, count: number) =>
    app.spark.emit(Array.from({ length: count }, (_, i) => sparkEvent(group, i)));
  const left = async (group: string) =>
    (await app.spark.deliveries({ group, state: 'available' }, { limit: 1, countUpTo: 100_000 })).count;
  const post = (path: string, signal?: AbortSignal) =>
    fetch(url + path, { method: 'POST', headers: { ...SAME, 'X-User': 'ada' }, ...(signal ? { signal } : {}) });

  it('a page tells how far it is, and in the end what came of it', async () => {
    await emit('work_long', 3_000);
    around = async (next) => {
      await next();
      await delay(1_200);
    };
    const response = await post('act?do=discard&group=work_long&of=3000');
    expect(response.status).toBe(200);
    expect(response.headers.get('x-accel-buffering')).toBe('no');
    expect(response.headers.get('cache-control')).toBe('no-store, no-transform');
    expect(response.headers.get('content-security-policy')).toContain(`default-src 'none'`);
    const html = await response.text();
    expect(html).toMatch(
      /^<!doctype html>[^]*<div class="progress">[^]*<div class="ended">[^]*<\/main>\s*<\/body>\s*<\/html>\s*$/,
    );
    expect(html).toMatch(/<progress max="3000" value="3000"/);
    expect(textOf(html)).toMatch(/Stop .*Deliveries that were discarded: 3,000\. Back/);
    expect(await left('work_long')).toBe(0);
  });

  it('a closed page ends it, and the audit log knows', async () => {
    await emit('work_closed', 20_000);
    const browser = new AbortController();
    around = (next) => {
      setTimeout(() => browser.abort(), 150);
      return next();
    };
    await expect(post('act?do=discard&group=work_closed', browser.signal)).rejects.toThrow(/abort/i);
    for (let tries = 0; audit.length < 2 && tries < 500; tries++) await delay(20);
    expect(audit.map(({ phase, user }) => `${phase} ${user}`)).toEqual(['started ada', 'stopped ada']);
    const { count } = audit[1]!;
    expect(count).toBeGreaterThan(0);
    expect(count).toBeLessThan(20_000);
    expect(await left('work_closed')).toBe(20_000 - count!);
  });

  it('a plan that nobody waits for ends', async () => {
    const whole = await fetch(`${url}plan?days=0`);
    const html = await whole.text();
    expect(textOf(html)).toMatch(/Entities that were read: [\d,]+\. Stop/);
    expect(textOf(html)).toContain('2026-03-01 20,000 20,000');
    const runs = SlowSource.runs;
    expect(runs).toBeGreaterThanOrEqual(40);
    const browser = new AbortController();
    setTimeout(() => browser.abort(), 500);
    await expect(
      fetch(`${url}plan?days=0`, { signal: browser.signal }).then((response) => response.text()),
    ).rejects.toThrow(/abort/i);
    await delay(1_000);
    const after = SlowSource.runs;
    expect(after - runs).toBeLessThan(30);
    await delay(500);
    expect(SlowSource.runs).toBe(after);
  });

  it('an interceptor runs around each action and knows who acts, and one that refuses keeps it from running', async () => {
    await emit('work_around', 1);
    const seen: unknown[] = [];
    around = async (next) => {
      seen.push(await left('work_around'));
      await next();
      seen.push(await left('work_around'));
    };
    checkedPage(await app.post('/spark/act?do=discard&group=work_around', { 'X-User': 'ada' }));
    expect(seen).toEqual([1, 0]);
    expect(acts).toMatchObject([{ action: 'discard', about: { group: 'work_around' }, user: 'ada' }]);

    await emit('work_refused', 1);
    around = () => {
      throw new ForbiddenException();
    };
    const refused = checkedPage(await app.post('/spark/act?do=discard&group=work_refused'), 403);
    expect(textOf(refused)).toContain('You may not do this.');
    around = () => undefined;
    checkedPage(await app.post('/spark/act?do=discard&group=work_refused'), 500);
    expect(String(audit.at(-1)!.error)).toContain('did not call next, so discard did not run');
    expect(await left('work_refused')).toBe(1);
    expect(audit.map(({ phase }) => phase)).toEqual(['started', 'done', 'started', 'failed', 'started', 'failed']);
  });

  it('past events are replayed for a handler, after a count', async () => {
    const path = 'act?do=replay&handler=works&group=work_around&repeat=true';
    expect(textOf(checkedPage(await app.get(`/spark/${path}`)))).toContain('Deliveries to open: 1.');
    const done = checkedPage(await app.post(`/spark/${path}&of=1`, { 'X-User': 'ada' }));
    expect(textOf(done)).toContain('Deliveries that were opened: 1.');
    expect(audit.map(({ phase, user, count }) => `${phase} ${user} ${count}`)).toEqual([
      'started ada undefined',
      'done ada 1',
    ]);
    expect(await left('work_around')).toBe(1);
  });
});
