import {
  type CanActivate,
  type ExecutionContext,
  type INestApplication,
  SetMetadata,
  UnauthorizedException,
  VersioningType,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { SparkDashboardModule } from 'nestjs-spark-dashboard';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasBrowser, openBrowser, visit } from './support/browser.js';
import { type DashboardApp, startDashboardApp } from './support/dashboard-app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { Parcel, ParcelHandlers, ParcelSource } from './support/parcels.js';

const Public = () => SetMetadata('isPublic', true);

class TokenGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    if (this.reflector.get<boolean>('isPublic', context.getClass()) !== true) throw new UnauthorizedException();
    return true;
  }
}

class BadgeGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    return context.switchToHttp().getRequest().headers['x-badge'] !== undefined;
  }
}

/** What applications set up for all their controllers, with a policy of their own that allows nothing. */
function configure(app: INestApplication): void {
  app.setGlobalPrefix('api/v9');
  app.enableVersioning({ type: VersioningType.URI });
  app.useGlobalGuards(new TokenGuard(app.get(Reflector)));
  app.use((_request: unknown, response: any, next: () => void) => {
    response.setHeader('Content-Security-Policy', "default-src 'none'");
    next();
  });
}

const HEADINGS = [
  'Overview',
  'Events',
  'Deliveries',
  'Errors',
  'Entity',
  'What will happen',
  'Held',
  'Sweeps',
  'Handlers',
  'Workers',
];

let browser: Browser;
if (hasBrowser) {
  beforeAll(async () => {
    browser = await openBrowser();
  });
  afterAll(() => browser.close());
}

describe.runIf(hasBrowser).each(['Express', 'Fastify'] as const)(
  "in Chromium, on 'SQLite' with %s, the dashboard",
  (framework) => {
    let db: TestDatabase;
    let app: DashboardApp;
    let root: string;

    beforeAll(async () => {
      db = await databases[0]!.create();
      const decorators = [Public()];
      app = await startDashboardApp({
        database: db,
        framework,
        entities: [Parcel],
        providers: [ParcelSource, ParcelHandlers],
        dashboards: [
          SparkDashboardModule.forRoot({ decorators, access: () => 'all' }),
          SparkDashboardModule.forRoot({ decorators, path: 'guarded', guards: [BadgeGuard] }),
          SparkDashboardModule.forRoot({ decorators, path: 'refusing', access: () => false }),
          SparkDashboardModule.forRoot({ decorators, path: 'closed' }),
          SparkDashboardModule.forRoot({ decorators, path: 'reading', access: () => 'read' }),
        ],
        spark: { worker: false },
        configure,
      });
      root = `${await app.listen()}/api/v9/`;
    });
    afterAll(async () => {
      await app.close();
      await db.drop();
    });

    it('works below a global prefix, with its own policy in place of that of the application', async () => {
      const { page, open, complaints, close } = await visit(browser, root);
      await open('spark');
      expect(page.url()).toBe(`${root}spark/`);
      const seen = [];
      for (const name of HEADINGS) {
        await page.getByRole('navigation').getByRole('link', { name, exact: true }).click();
        await page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
        seen.push(await page.locator('nav [aria-current=page]').textContent());
      }
      expect(seen).toEqual(HEADINGS);
      // The stylesheet is in force.
      expect(await page.evaluate(`getComputedStyle(document.querySelector('nav ul')).display`)).toBe('flex');
      await open('spark/handlers');
      await page.getByRole('button', { name: 'Pause', exact: true }).first().click();
      await page.getByRole('button', { name: 'Resume', exact: true }).waitFor();
      expect(page.url()).toBe(`${root}spark/handlers`);
      expect((await app.spark.health()).paused).toHaveLength(1);
      await app.spark.resumeHandler((await app.spark.health()).paused[0]!.handler);
      expect(complaints).toEqual([]);
      await close();
    });

    it('is not there for whom a guard refuses, and is there for whom it lets through', async () => {
      const stranger = await visit(browser, root);
      expect(await stranger.open('guarded/')).toBe(403);
      expect(await stranger.page.locator('nav, main').count()).toBe(0);
      await stranger.close();
      const { page, open, complaints, close } = await visit(browser, root, { extraHTTPHeaders: { 'x-badge': '7' } });
      expect(await open('guarded/')).toBe(200);
      await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
      expect(complaints).toEqual([]);
      await close();
    });

    it.each([
      ['refusing', 'You may not see this dashboard.'],
      ['closed', 'SparkDashboardModule.forRoot({ guards: [AdminGuard] })'],
    ])('is a page with the code 403 and no pages to go to: %s', async (path, words) => {
      const { page, open, complaints, close } = await visit(browser, root);
      expect(await open(`${path}/deliveries`)).toBe(403);
      expect(await page.locator('main').textContent()).toContain(words);
      expect(await page.locator('nav, main form').count()).toBe(0);
      // Chromium tells the code of the page as an error.
      expect(complaints.filter((complaint) => !complaint.includes('status of 403'))).toEqual([]);
      await close();
    });

    it('has no button or link that acts for whoever may only read', async () => {
      const { page, open, complaints, close } = await visit(browser, root);
      for (const path of ['deliveries', 'handlers', 'sweeps', 'held', 'errors']) {
        expect(await open(`reading/${path}`)).toBe(200);
        expect([path, await page.locator('form[method=post], a[href^=act]').count()]).toEqual([path, 0]);
      }
      expect(complaints).toEqual([]);
      await close();
    });
  },
);
