import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { addMinutes } from 'date-fns';
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { Supporter } from '../../apps/challenges/src/supporter/supporter.entity.js';
import { visit } from './browser.js';
import type { Demo } from './demo.js';

const ROOT = resolve(import.meta.dirname, '../..');
const FOLDER = join(ROOT, 'docs/images');

const WIDE = { viewport: { width: 1200, height: 800 }, deviceScaleFactor: 0.75 };
const DARK = { ...WIDE, colorScheme: 'dark' } as const;
const PHONE = { viewport: { width: 390, height: 720 }, deviceScaleFactor: 0.75 };

/** Draws the pictures of docs/dashboard.md from the demo after a busy hour. */
export async function takePictures(browser: Browser, demo: Demo): Promise<void> {
  await passHour(demo);
  const [jammed] = (await demo.spark.deliveries({ handler: 'supporter-badges', error: 'jammed' })).records;
  const pictures: [name: string, path: string, options: BrowserContextOptions][] = [
    ['overview', '', WIDE],
    ['overview-dark', '', DARK],
    ['overview-phone', '', PHONE],
    ['deliveries', 'deliveries?handler=supporter-badges', WIDE],
    ['delivery-dark', `delivery?id=${jammed!.id}`, DARK],
    ['errors', 'errors', WIDE],
    ['entity', 'entity?type=Challenge&id=3', WIDE],
    ['plan', 'plan?days=30', WIDE],
    ['held-phone', 'held', PHONE],
  ];
  await mkdir(FOLDER, { recursive: true });
  for (const [name, path, options] of pictures) {
    const { page, open, close } = await visit(browser, demo.base, options);
    await open(path);
    await page.evaluate(`(${asElsewhere})('${hostname()}', '${ROOT}')`);
    await page.screenshot({ path: join(FOLDER, `dashboard-${name}.png`), animations: 'disabled' });
    await close();
  }
}

/** An hour in which supporters join, more of them in its middle. */
async function passHour({ kit, dataSource }: Demo): Promise<void> {
  for (let minute = 0; minute < 60; minute += 2) {
    await kit.advance('2m');
    const now = kit.clock.date;
    const count = Math.round(3 + 3 * Math.sin((minute / 60) * Math.PI * 3));
    const joined = Array.from({ length: count }, (_, i) => ({
      name: `Supporter ${minute + i}`,
      mail: `supporter.${minute}.${i}@example.org`,
      joined: addMinutes(now, -i),
    }));
    await dataSource.manager.save(Supporter, joined);
    await kit.drain();
  }
  await dataSource.manager.save(Supporter, { name: 'The last one', mail: 'last@example.org', joined: kit.clock.date });
  kit.clock.set(addMinutes(kit.clock.date, 4));
}

/** Opens what can be opened, and makes the picture the same on all machines. */
const asElsewhere = `(host, root) => {
  for (const details of document.querySelectorAll('.timeline details')) details.open = true;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const shown = (text) => text.replaceAll(host, 'app-1').replaceAll(root, '/app').replaceAll(/process \\d+/g, 'process 4711');
  while (walker.nextNode()) walker.currentNode.data = shown(walker.currentNode.data);
}`;
