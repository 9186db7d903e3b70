import { type ClientRequest, get, type IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { sparkEvent } from 'nestjs-spark';
import { SparkDashboardModule } from 'nestjs-spark-dashboard';
import { TestClock } from 'nestjs-spark/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  accessByHeader,
  type DashboardApp,
  dashboardArms,
  startDashboardApp,
  textOf,
} from './support/dashboard-app.js';
import type { TestDatabase } from './support/databases.js';
import { Parcel, ParcelHandlers, ParcelSource } from './support/parcels.js';
import { QueryLog } from './support/query-log.js';

interface Update {
  readonly id: string | undefined;
  readonly event: string | undefined;
  readonly data: string;
}

/** A browser that has the updates of a page open. */
class Browser {
  readonly updates: Update[] = [];
  readonly comments: string[] = [];
  hasEnded = false;
  private request: ClientRequest;
  private response: IncomingMessage;

  get headers(): IncomingMessage['headers'] {
    return this.response.headers;
  }

  get status(): number | undefined {
    return this.response.statusCode;
  }

  async open(url: string, headers: Record<string, string> = {}): Promise<this> {
    this.response = await new Promise<IncomingMessage>((resolve, reject) => {
      const options = { agent: false, headers: { Accept: 'text/event-stream', ...headers } };
      this.request = get(url, options, resolve).on('error', reject);
    });
    void this.listen().catch(() => undefined);
    return this;
  }

  close(): void {
    this.request.destroy();
  }

  async until(condition: () => boolean, seconds = 15): Promise<void> {
    for (let tries = 0; !condition() && tries < seconds * 50; tries++) await delay(20);
    if (!condition()) throw new Error('It did not come in time.');
  }

  private async listen(): Promise<void> {
    let text = '';
    for await (const part of this.response.setEncoding('utf8')) {
      text += part;
      const messages = text.split('\n\n');
      text = messages.pop()!;
      for (const message of messages) this.take(message);
    }
    this.hasEnded = true;
  }

  private take(message: string): void {
    const lines = message.split('\n').map((line) => [line.slice(0, line.indexOf(':')), line.replace(/^[^:]*: ?/, '')]);
    const of = (name: string) => lines.filter(([field]) => field === name).map(([, value]) => value!);
    this.comments.push(...of(''));
    if (of('data').length > 0)
      this.updates.push({ id: of('id')[0], event: of('event')[0], data: of('data').join('\n') });
  }
}

// These tests mostly wait, so the arms run side by side.
describe.concurrent.each(dashboardArms)(
  'pages are kept up to date, on $name with $framework:',
  ({ create, framework }) => {
    const log = new QueryLog();
    const browsers: Browser[] = [];
    let db: TestDatabase;
    let app: DashboardApp;
    let url: string;
    let isClosed = false;

    beforeAll(async () => {
      db = await create();
      app = await startDashboardApp({
        database: db,
        framework,
        entities: [Parcel],
        providers: [ParcelSource, ParcelHandlers],
        dashboards: [SparkDashboardModule.forRoot({ access: accessByHeader })],
        clock: new TestClock('2026-03-01T10:00:00Z'),
        dataSource: { logger: log, logging: true },
      });
      url = `${await app.listen()}/spark/`;
      await app.spark.emit(Array.from({ length: 3 }, (_, i) => sparkEvent('work', i)));
      await app.spark.drain();
    });
    afterAll(async () => {
      if (!isClosed) await app.close();
      await db.drop();
    });

    const open = async (page: string, more: Record<string, string> = {}, headers: Record<string, string> = {}) => {
      const browser = await new Browser().open(
        `${url}live?${new URLSearchParams({ of: page, ...more }).toString()}`,
        headers,
      );
      browsers.push(browser);
      return browser;
    };
    const closeAll = () => {
      for (const browser of browsers.splice(0)) browser.close();
    };
    const versionIn = (html: string) => /<main [^>]*data-live="([^"]+)"/.exec(html)?.[1];
    const pageAt = async (path: string) => (await fetch(url + path)).text();

    it.sequential('what has changed comes, and only that', async () => {
      const html = await pageAt('events?group=work');
      const has = versionIn(html)!;
      expect(has).toMatch(/^[\w-]{16}$/);
      const browser = await open('events?group=work', { has });
      expect(browser.status).toBe(200);
      expect(browser.headers).toMatchObject({
        'content-type': 'text/event-stream',
        'cache-control': 'no-cache, no-transform',
        'x-accel-buffering': 'no',
        'content-security-policy': expect.stringContaining(`default-src 'none'`),
      });
      await browser.until(() => browser.comments.includes('connected'));
      await delay(6_000);
      expect(browser.updates).toEqual([]);
      await app.spark.emit(sparkEvent('work', 'new'));
      await browser.until(() => browser.updates.length > 0);
      const [{ id, data }] = browser.updates as [Update];
      expect(data).toContain('work_new');
      // It is what a new page shows, and nothing around that.
      const now = await pageAt('events?group=work');
      expect(versionIn(now)).toBe(id);
      expect(now).toContain(`>${data}</main>`);
      closeAll();
    });

    it.sequential('a page that was hidden gets what is new at once, and a page that asks gets the same', async () => {
      const has = versionIn(await pageAt('deliveries'))!;
      await app.spark.emit(sparkEvent('work', 'hidden'));
      const browser = await open('deliveries', { has, now: '1' });
      await browser.until(() => browser.updates.length > 0, 4);
      const asked = await fetch(`${url}live?of=deliveries&has=${has}`, { headers: { Accept: 'text/html' } });
      expect([asked.status, asked.headers.get('spark-version')]).toEqual([200, browser.updates[0]!.id]);
      expect(await asked.text()).toBe(browser.updates[0]!.data);
      const same = await fetch(`${url}live?of=deliveries&has=${browser.updates[0]!.id}`, {
        headers: { Accept: 'text/html' },
      });
      expect([same.status, await same.text()]).toEqual([204, '']);
      const again = await open('deliveries', { has }, { 'Last-Event-ID': browser.updates[0]!.id! });
      await delay(500);
      expect(again.updates).toEqual([]);
      closeAll();
    });

    it.sequential('each gets the page in the own language, with the own actions', async () => {
      const [german, reader] = await Promise.all([
        open('held', { now: '1' }, { 'Accept-Language': 'de' }),
        open('handlers', { now: '1' }, { 'x-access': '"read"' }),
      ]);
      const all = await open('handlers', { now: '1' });
      await german.until(() => german.updates.length > 0);
      await reader.until(() => reader.updates.length > 0 && all.updates.length > 0);
      expect(textOf(german.updates[0]!.data)).toContain('Nichts wird zurückgehalten.');
      expect(reader.updates[0]!.data).not.toContain('method="post"');
      expect(all.updates[0]!.data).toContain('method="post"');
      closeAll();
    });

    it.sequential('whoever may not read gets nothing, and pages at rest have no updates', async () => {
      for (const [page, headers, status] of [
        ['events', { 'x-access': 'false' }, 403],
        ['plan?days=1', {}, 404],
        ['act?do=retry', {}, 404],
        ['nothing', {}, 404],
      ] as const)
        expect((await open(page, {}, headers)).status).toBe(status);
      expect((await fetch(`${url}live?of=events&of=held`)).status).toBe(400);
      for (const page of ['plan', 'entity', 'act?do=retry']) expect(versionIn(await pageAt(page))).toBeUndefined();
      closeAll();
    });

    it.sequential(
      'ten open pages cost less than five statements a second, also if all show the same',
      async () => {
        const pages = [
          '',
          'events',
          'deliveries',
          'errors',
          'held',
          'sweeps',
          'handlers',
          'workers',
          'rechecks',
          'event?key=work_1',
        ];
        const seconds = 12;
        for (const opened of [Array.from({ length: 10 }, () => ''), pages]) {
          await Promise.all(opened.map((page) => open(page)));
          log.statements.length = 0;
          await delay(seconds * 1_000);
          const perSecond = log.statements.length / seconds;
          expect(perSecond).toBeGreaterThan(0);
          expect(perSecond).toBeLessThan(5);
          closeAll();
          await delay(500);
        }
      },
      90_000,
    );

    it.sequential('nothing is read while nobody looks', async () => {
      const browser = await open('');
      await browser.until(() => browser.comments.length > 0);
      closeAll();
      await delay(500);
      log.statements.length = 0;
      await delay(7_000);
      // The lease of the process is renewed as always.
      expect(log.statements.filter((statement) => !statement.includes('spark_worker'))).toEqual([]);
    });

    it.sequential('and they end when the application stops', async () => {
      const browser = await open('events');
      await browser.until(() => browser.comments.length > 0);
      const began = performance.now();
      isClosed = true;
      await app.close();
      expect(performance.now() - began).toBeLessThan(3_000);
      await browser.until(() => browser.hasEnded, 1);
    });
  },
);
