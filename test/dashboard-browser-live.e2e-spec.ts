import { setTimeout as delay } from 'node:timers/promises';
import { sparkEvent } from 'nestjs-spark';
import { SparkDashboardModule } from 'nestjs-spark-dashboard';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasBrowser, openBrowser, show, visit } from './support/browser.js';
import { type Framework, startDashboardApp } from './support/dashboard-app.js';
import { databases } from './support/databases.js';
import { ParcelHandlers } from './support/parcels.js';

const FRAMEWORKS: readonly Framework[] = ['Express', 'Fastify'];
const arms = databases.flatMap((database) => FRAMEWORKS.map((framework) => ({ ...database, framework })));

// An open page is read again after five seconds at the earliest.
const SOON = { timeout: 20_000 };
const LONGER_THAN_AN_UPDATE = 7_000;

describe.runIf(hasBrowser)('in Chromium an open page of the dashboard', () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser.close());

  // Nearly all of it is waiting, so they wait together.
  it.concurrent.each(arms)(
    'shows what is new, keeps what is typed, and rests while it is hidden, on $name with $framework',
    async ({ create, framework }) => {
      const database = await create();
      const app = await startDashboardApp({
        database,
        framework,
        entities: [],
        providers: [ParcelHandlers],
        dashboards: [SparkDashboardModule.forRoot({ access: () => 'all' })],
        spark: { worker: false },
      });
      const base = `${await app.listen()}/spark/`;
      const list = await visit(browser, base);
      const overview = await visit(browser, base);
      const event = (key: string) => list.page.getByRole('link', { name: key, exact: true });

      await list.open('events?group=work');
      await overview.open('');
      await list.page.evaluate('globalThis.isFirst = true');
      await list.page.getByLabel('Beginning of the key').fill('half of a wo');
      expect(await overview.page.getByRole('link', { name: 'works', exact: true }).count()).toBe(0);
      await app.spark.emit(sparkEvent('work', 1));
      await event('work_1').waitFor(SOON);
      // The handler that has something to do now.
      await overview.page.getByRole('link', { name: 'works', exact: true }).first().waitFor(SOON);
      expect(await list.page.getByLabel('Beginning of the key').inputValue()).toBe('half of a wo');

      await show(list.page, false);
      const asked = list.requests.length;
      await app.spark.emit(sparkEvent('work', 2));
      await delay(LONGER_THAN_AN_UPDATE);
      expect([list.requests.slice(asked), await event('work_2').count()]).toEqual([[], 0]);
      await show(list.page, true);
      await event('work_2').waitFor(SOON);
      expect(await list.page.evaluate('globalThis.isFirst')).toBe(true);

      expect([...list.complaints, ...overview.complaints]).toEqual([]);
      // Pages are still open.
      const started = performance.now();
      await app.close();
      expect(performance.now() - started).toBeLessThan(5_000);
      await list.close();
      await overview.close();
      await database.drop();
    },
    60_000,
  );
});
