import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flawsOf } from './support/accessibility.js';
import { hasBrowser, openBrowser, overflowOf, visit, type Visit } from './support/browser.js';
import { type Demo, startDemo } from './support/demo.js';
import { takePictures } from './support/pictures.js';

describe.runIf(hasBrowser)("a person reads the dashboard of the demo, on 'SQLite':", () => {
  let folder: string;
  let demo: Demo;
  let browser: Browser;
  let paths: string[];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'dashboard-demo-'));
    [demo, browser] = await Promise.all([startDemo(folder), openBrowser()]);
    const [failed] = (await demo.spark.deliveries({ handler: 'supporter-badges', state: 'discarded' })).records;
    paths = [
      '',
      // Few rows: axe looks at each of them.
      'events?entity=Challenge&id=1',
      'event?key=challenge_created_1',
      'deliveries?entity=Supporter&id=4',
      `delivery?id=${failed!.id}`,
      'errors',
      'entity?type=Challenge&id=1',
      'plan?days=2',
      'held',
      'sweeps',
      'handlers',
      'workers',
      'rechecks?entity=Challenge&id=1',
      'act?do=retry&state=discarded',
      'nothing',
      'events?from=yesterday',
    ];
  });
  afterAll(async () => {
    await browser.close();
    await demo.close();
    await rm(folder, { recursive: true });
  });

  it('without a flaw that axe finds, in light and in dark, and without a page that is wider than a phone', async () => {
    const { page, open, close } = await visit(browser, demo.base, { bypassCSP: true });
    const flaws = [];
    for (const path of paths) {
      await page.emulateMedia({ colorScheme: 'light' });
      await open(path);
      for (const flaw of await flawsOf(page)) flaws.push(`${path} in light: ${flaw}`);
      await page.emulateMedia({ colorScheme: 'dark' });
      for (const flaw of await flawsOf(page, ['color-contrast'])) flaws.push(`${path} in dark: ${flaw}`);
      for (const width of [390, 320]) {
        await page.setViewportSize({ width, height: 844 });
        const overflow = await overflowOf(page);
        if (overflow > 0) flaws.push(`${path} by ${overflow} wider than ${width}`);
      }
      await page.setViewportSize({ width: 1280, height: 720 });
    }
    expect(flaws).toEqual([]);
    await close();
  }, 120_000);

  describe('by keyboard', () => {
    let visitor: Visit;
    let page: Page;

    beforeAll(async () => {
      visitor = await visit(browser, demo.base);
      page = visitor.page;
    });
    afterAll(() => visitor.close());

    /** What has the focus: its text, or the name of the field. It must show that it has it. */
    const focused = () =>
      page.evaluate<{ what: string; isSeen: boolean }>(`(() => {
        const { activeElement: element } = document;
        const { outlineStyle, outlineWidth } = getComputedStyle(element);
        const what = element.name || element.innerText.trim().replaceAll(/\\s+/g, ' ');
        const isOutlined = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
        // The button in it that opens a calendar has an outline of its own.
        return { what, isSeen: isOutlined || element.type === 'datetime-local' };
      })()`);

    /** Presses Tab until something has the focus. Returns all that had it before. */
    async function tabTo(wanted: string): Promise<string[]> {
      const before: string[] = [];
      while (before.length < 100) {
        await page.keyboard.press('Tab');
        const { what, isSeen } = await focused();
        expect([what, isSeen]).toEqual([what, true]);
        if (what === wanted) return before;
        before.push(what);
      }
      throw new Error(`Tab does not reach ${wanted}, but ${before.join(', ')}.`);
    }

    it('the first Tab reaches a link that skips the pages, and the next ones the filter in its order', async () => {
      await visitor.open('events');
      expect(await tabTo('Skip to the content')).toEqual([]);
      await page.keyboard.press('Enter');
      // Chromium stops at each part of a time.
      const fields = new Set(await tabTo('Filter'));
      expect([...fields]).toEqual(['group', 'keyPrefix', 'entity', 'id', 'source', 'from', 'to']);
    });

    it('Enter filters, an action is reached, its question is answered, and it is done', async () => {
      await visitor.open('deliveries');
      await tabTo('handler');
      await page.keyboard.type('supporter-badges');
      await page.keyboard.press('Enter');
      await page.waitForURL(/handler=supporter-badges/);
      await tabTo('Retry');
      await page.keyboard.press('Enter');
      await page.waitForURL(/act\?do=retry/);
      await tabTo('Retry');
      await page.keyboard.press('Enter');
      await page.getByText('Deliveries that are available again: 2.').waitFor();
      expect(visitor.complaints).toEqual([]);
    });
  });

  // `npm run draw:dashboard` draws the pictures of docs/dashboard.md.
  it.runIf(process.env.SPARK_PICTURES)(
    'the pictures of the documents are drawn',
    async () => {
      await takePictures(browser, demo);
    },
    120_000,
  );
});
