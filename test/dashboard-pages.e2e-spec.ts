import { sparkEvent } from 'nestjs-spark';
import { SparkDashboardModule } from 'nestjs-spark-dashboard';
import { TestClock } from 'nestjs-spark/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  checkedPage,
  type DashboardApp,
  dashboardArms,
  formIn,
  linkIn,
  startDashboardApp,
  textOf,
} from './support/dashboard-app.js';
import type { TestDatabase } from './support/databases.js';
import { Parcel, ParcelHandlers, ParcelSource } from './support/parcels.js';

const PAGES = [
  '',
  'events',
  'deliveries',
  'errors',
  'entity',
  'plan',
  'held',
  'sweeps',
  'handlers',
  'workers',
  'rechecks',
];
const HOSTILE = `"'><script>alert('1')</script><img src=x onerror="a()">&amp;`;
const DUE = Date.parse('2026-03-03T09:00:00Z');

// Each database with one framework; SQLite with both, so that each framework has all pages.
describe.each(dashboardArms)('the dashboard shows, on $name with $framework,', ({ create, framework }) => {
  const clock = new TestClock('2026-03-01T10:00:00Z');
  const handlers = new ParcelHandlers();
  const empty = new Map<string, string>();
  let db: TestDatabase;
  let app: DashboardApp;

  const page = async (path: string, status = 200, headers: Record<string, string> = {}) =>
    checkedPage(await app.get(`/spark/${path}`, headers), status);
  const text = async (path: string, status = 200) => textOf(await page(path, status));
  const follow = async (from: string, words: string) => {
    const to = linkIn(from, words);
    expect(to, `a link ${words}`).toBeDefined();
    return page(to!);
  };
  const parcel = (id: number) => ({ id, sender: `Ada ${id}`, due: String(DUE) });

  beforeAll(async () => {
    db = await create();
    app = await startDashboardApp({
      database: db,
      framework,
      entities: [Parcel],
      providers: [ParcelSource, { provide: ParcelHandlers, useValue: handlers }],
      dashboards: [SparkDashboardModule.forRoot({ access: () => 'all', title: 'Post', environment: 'test <1>' })],
      spark: { activation: { limit: 0 } },
      clock,
    });
    for (const name of PAGES) empty.set(name, textOf(await page(name)));
    await fill();
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  /**
   * Three parcels that were saved, of which `labels` has failed for one and `mails` waits for another; twelve that a sweep has found, so that
   * their deliveries are held; one hostile event; and 1,001 events without deliveries.
   */
  async function fill() {
    const { spark, dataSource } = app;
    handlers.failing.set('labels parcel_sent_2', `No printer at https://ada:s3cret-1@host, token=t0k3n-2`);
    handlers.failing.set('mails parcel_sent_3', 'No server');
    handlers.failing.set('labels parcel_' + HOSTILE, HOSTILE);
    await dataSource.manager.save(Parcel, [1, 2, 3].map(parcel));
    await spark.drain();
    await spark.emit(sparkEvent(`parcel_${HOSTILE}`, HOSTILE, { [HOSTILE]: HOSTILE }));
    await spark.drain();
    const rows = Array.from({ length: 12 }, (_, i) => `(${i + 11}, 'Raw', ${DUE})`);
    await dataSource.query(`INSERT INTO parcel (id, sender, due) VALUES ${rows.join()}`);
    await spark.sweep();
    await spark.emit(Array.from({ length: 1_001 }, (_, i) => sparkEvent('many', i)));
  }

  it.each([
    ['', 'No delivery is due.'],
    ['events', 'Nothing matches.'],
    ['deliveries', 'Nothing matches.'],
    ['errors', 'No delivery waits or is discarded because of an error.'],
    ['entity', 'Choose an entity and its id'],
    ['plan', 'Choose how many days to look ahead.'],
    ['held', 'Nothing is held.'],
    ['sweeps', 'parcels Parcel idle'],
    ['handlers', 'There are none.'],
    ['workers', 'No handler is running.'],
    ['rechecks', 'Nothing matches.'],
  ])('on the empty page %j: %s', (name, words) => {
    expect(empty.get(name)).toContain(words);
  });

  it('the title and the environment, and where one is', async () => {
    const html = await page('events');
    expect(html).toContain('<title>Events · Post · test &lt;1&gt;</title>');
    expect(html).toContain('<a href="events" aria-current="page">Events</a>');
    expect(html).toContain('<html lang="en">');
  });

  it('figures at a glance, and each leads to its list', async () => {
    const html = await page('');
    const words = textOf(html);
    for (const figure of [
      '2 discarded in the last hour',
      '24 held',
      '0 of handlers that no process has',
      '0 paused handlers',
    ])
      expect(words).toContain(figure);
    expect(textOf(await follow(html, '24 held'))).toContain('parcel_sent');
    expect(textOf(await follow(html, '0 of handlers that no process has'))).toContain('Deliveries without a handler');
    const figures = [...html.matchAll(/<li class="(?:look)?"><a href="([^"]*)">/g)].map(([, to]) =>
      to!.replaceAll('&amp;', '&'),
    );
    expect(figures).toHaveLength(9);
    for (const to of figures) await page(to);
  });

  it('events page by page, with a count that stops', async () => {
    const first = await page('events?group=many');
    expect(textOf(first)).toContain('1,000+ in all');
    const second = await follow(first, 'Next page');
    const keysOf = (html: string) => [...html.matchAll(/event\?key=(many_\d+)/g)].map(([, key]) => key);
    expect(keysOf(first)).toHaveLength(50);
    expect(keysOf(second)).toHaveLength(50);
    expect(new Set([...keysOf(first), ...keysOf(second)])).toHaveProperty('size', 100);
    expect(keysOf(await follow(second, 'First page'))).toEqual(keysOf(first));
  });

  it.each([
    ['group=parcel_sent', 15],
    ['keyPrefix=parcel_sent_1', 10],
    ['entity=Parcel&id=2', 1],
    ['source=parcels', 15],
    ['group=parcel_sent&from=2026-03-01T10:00&to=2026-03-01T10:00:00.001Z', 15],
    ['to=2026-03-01T10:00&group=', 0],
  ])('events by %s', async (search, count) => {
    const html = await page(`events?${search}`);
    expect([...html.matchAll(/href="event\?/g)]).toHaveLength(count);
    expect(textOf(html)).toContain(count === 0 ? 'Nothing matches.' : `${count} in all`);
  });

  it('one event with its context, its metadata and its deliveries, and no secrets', async () => {
    const html = await follow(await page('events?entity=Parcel&id=2'), 'parcel_sent_2');
    const words = textOf(html);
    expect(words).toContain('"sender": "Ada 2"');
    expect(words).toContain('"password": "•••"');
    expect(words).toContain('"tenant": "north"');
    expect(words).toContain('labels discarded');
    expect(words).toContain('mails completed');
    expect(html).not.toMatch(/p4ss-word|k3y-value|s3cret-1|t0k3n-2/);
    expect(textOf(await follow(html, 'Parcel 2'))).toContain('Past and future');
  });

  it.each([
    ['state=discarded', 2],
    ['state=held', 24],
    ['handler=labels&state=completed', 2],
    ['error=printer', 1],
    ['group=parcel_sent&entity=Parcel&id=3', 2],
    ['handler=nobody', 0],
  ])('deliveries by %s', async (search, count) => {
    const html = await page(`deliveries?${search}`);
    expect([...html.matchAll(/href="delivery\?/g)]).toHaveLength(count);
  });

  it('of a list the actions that its state allows, on all that match', async () => {
    const discarded = await page('deliveries?state=discarded&handler=labels');
    expect(linkIn(discarded, 'Retry')).toBe('act?do=retry&handler=labels&state=discarded');
    expect([linkIn(discarded, 'Release'), linkIn(discarded, 'Discard')]).toEqual([undefined, undefined]);
    const held = await page('deliveries?state=held');
    expect([linkIn(held, 'Retry'), linkIn(held, 'Release'), linkIn(held, 'Discard')]).toEqual([
      undefined,
      'act?do=release&state=held',
      'act?do=discard&state=held',
    ]);
    expect(linkIn(await page('deliveries?state=completed'), 'Retry')).toBeUndefined();
  });

  it('the life of a delivery with its failed attempts, and no secrets', async () => {
    const html = await follow(await page('deliveries?key=parcel_sent_2'), 'labels');
    const words = textOf(html);
    expect(words).toMatch(/UTC The event was entered\..*UTC Attempt 1 failed on .*UTC discarded/);
    expect(words).toContain('No printer at https://ada:•••@host, token=•••');
    expect(html).not.toMatch(/s3cret-1|t0k3n-2/);
    expect(formIn(html, 'Retry now')).toMatch(/^act\?do=retry&deliveryId=\d+$/);
    const waiting = await follow(await page('deliveries?key=parcel_sent_3'), 'mails');
    expect(textOf(waiting)).toMatch(/Attempt 1 failed.*2026-03-01 11:00:00 UTC It is due\./);
    expect(linkIn(waiting, 'Discard this delivery')).toBeDefined();
  });

  it('errors by their kind, with the deliveries of each', async () => {
    const html = await page('errors?handler=mails');
    expect(textOf(html)).toMatch(/Error: No server mails 1 0 2026-03-01 10:00:00 UTC/);
    expect(linkIn(html, 'Retry all')).toMatch(/^act\?do=retry&handler=mails&fingerprint=[0-9a-f]{16}$/);
    const deliveries = await follow(html, 'Error: No server');
    expect([...deliveries.matchAll(/href="delivery\?/g)]).toHaveLength(1);
    expect(textOf(await page('errors?state=discarded'))).not.toContain('No server');
  });

  it('the past and the future of an entity, and why', async () => {
    const html = await page('entity?type=Parcel&id=2');
    const words = textOf(html);
    expect(words).toMatch(
      /2026-03-01 10:00:00 UTC parcel_sent_2 was entered, found by parcels .*2026-03-03 09:00:00 UTC parcel_due_2 becomes true/,
    );
    expect(words).toMatch(/2026-03-03 09:00:00 UTC Recheck/);
    expect(words).toContain('parcel_due_2 parcel_due later 2026-03-03 09:00:00 UTC');
    expect(words).toContain('Why, and why not');
    expect(html).not.toMatch(/s3cret-1|t0k3n-2/);
    expect(await text('entity?type=Parcel&id=404')).toContain('Its row does not exist.');
  });

  it('what will happen, by day and group, down to the entities', async () => {
    const html = await page('plan?days=7');
    expect(textOf(html)).toContain('Day parcel_due In all 2026-03-03 15 15');
    const group = await follow(html, 'parcel_due');
    expect(textOf(group)).toContain('2026-03-03 09:00:00 UTC parcel_due_2 parcel_due Parcel 2 parcels labels');
    expect([...group.matchAll(/<td class="">parcel_due_\d+<\/td>/g)]).toHaveLength(15);
    const day = await follow(html, '15');
    expect(textOf(day)).toContain('parcel_due, 2026-03-03');
    expect(linkIn(day, 'All days and groups')).toBe('plan?days=7');
    const none = await text('plan?days=1&entity=Parcel');
    expect(none).toContain('Nothing will happen.');
    expect(none).toContain('Known to become true after that: 15.');
  });

  it('the last hour, minute by minute, as charts with descriptions and as a table', async () => {
    const html = await page('');
    expect(html).toMatch(
      /<title id="rates-events-title">Events a minute<\/title>\s*<desc id="rates-events-desc">At most [\d,]+ in a minute, [\d,]+ in all\.<\/desc>/,
    );
    expect([...html.matchAll(/<rect /g)]).toHaveLength(120);
    expect(html).toMatch(/<rect [^>]*><title>10:00: 1,01\d<\/title><\/rect>/);
    expect(textOf(html)).toMatch(/As a table .* 10:00 UTC 1,01\d \d+/);
  });

  it('the limits of handlers, and a replay that is counted first', async () => {
    const html = await page('handlers');
    expect(textOf(html)).toContain('labels /^parcel/ 0 shared with others – 1 h 0 min 1 – Replay events');
    expect(textOf(html)).toMatch(/mails \/\^parcel_sent\$\/ 0 shared with others – 1 h 0 min 80 –/);
    const question = await follow(html, 'Replay events');
    expect(linkIn(html, 'Replay events')).toBe('act?do=replay&handler=labels&from=2026-03-01T00%3A00');
    expect(textOf(question)).toContain('There is no delivery that this would change.');
    expect(question).toContain('<input type="hidden" name="handler" value="labels">');
    expect(textOf(await page('act?do=replay&handler=works&group=many&repeat=true'))).toContain('no delivery that this');
    expect(await text('act?do=replay&handler=nobody', 400)).toContain('nobody');
  });

  it('what is held, with a sample', async () => {
    const html = await page('held');
    expect(textOf(html)).toContain('Deliveries 24');
    expect(linkIn(html, 'Release 10 first')).toBe('act?do=release&group=parcel_sent&limit=10');
    expect([...html.matchAll(/href="delivery\?/g)]).toHaveLength(5);
  });

  it('sweeps, handlers, workers and rechecks', async () => {
    expect(await text('sweeps')).toMatch(/parcels Parcel idle – 2026-03-01 10:00:00 UTC 12 /);
    const handlersPage = await page('handlers');
    expect(textOf(handlersPage)).toMatch(/mails 0 – 1 0 12 0/);
    expect(formIn(handlersPage, 'Pause')).toBe('act?do=pauseHandler&handler=labels');
    const isSent = (by: string) =>
      app.dataSource.query(
        `UPDATE spark_delivery SET claimed_by = ${by} WHERE state = 'available' AND handler = 'mails'`,
      );
    await isSent(`'a dispatcher'`);
    expect(textOf(await page('handlers'))).toMatch(/ on their way by a carrier .* mails 0 – 0 1 0 12 0/);
    await isSent('NULL');
    await app.spark.drain();
    const [worker] = await app.spark.workers();
    expect(await text('workers')).toContain(`${worker!.host} ${worker!.pid}`);
    expect(await text('workers')).toMatch(/Lease until .* UTC 20\d\d-.* UTC 0 –/);
    expect(await text('rechecks?entity=Parcel&id=2')).toContain('2026-03-03 09:00:00 UTC Parcel 2 0');
  });

  it('hostile keys, groups, contexts and errors as text', async () => {
    const { key, group } = (await app.spark.events({ keyPrefix: 'parcel_"' })).records[0]!;
    const event = await page(`event?key=${encodeURIComponent(key)}`);
    expect(textOf(event)).toContain(HOSTILE);
    const [delivery] = (await app.spark.deliveries({ key })).records;
    const search = `group=${encodeURIComponent(group)}`;
    const all = [
      `events?${search}`,
      `deliveries?${search}`,
      `delivery?id=${delivery!.id}`,
      'errors',
      `act?do=retry&${search}`,
    ];
    for (const path of all) expect(`${path} ${textOf(await page(path))}`).toContain(`<script>alert('1')</script>`);
    await page(`entity?type=${encodeURIComponent(HOSTILE)}&id=1`, 400);
    await page(`events?after=${encodeURIComponent(HOSTILE)}`, 400);
    await page(encodeURIComponent(HOSTILE), 404);
  });

  it('all of it in German', async () => {
    const german = { 'Accept-Language': 'de-AT,de;q=0.9,en;q=0.5' };
    for (const name of PAGES) expect(await page(name, 200, german)).toContain('<html lang="de">');
    const html = await page('events?group=many', 200, german);
    expect(textOf(html)).toContain('1.000+ insgesamt');
    expect(html).toContain('>Was geschehen wird</a>');
    const { headers } = await app.get('/spark/events', german);
    expect(headers).toMatchObject({ 'content-language': 'de', vary: expect.stringContaining('Accept-Language') });
  });

  it.each([
    ['nothing', 404, 'There is no such page.'],
    ['event?key=nothing', 404, 'There is no event with the key nothing.'],
    ['delivery?id=999999', 404, 'There is no delivery 999999.'],
    ['event', 400, 'The address lacks key.'],
    ['delivery?id=x', 400, 'Expected: the id of a delivery'],
    ['deliveries?state=gone', 400, `Expected: one of 'held'`],
    ['events?from=yesterday', 400, 'Expected: a time in UTC'],
    ['events?group=a&group=b', 400, 'group is given more than once'],
    ['events?id=7', 400, 'needs the entity of the id'],
    ['events?after=x', 400, 'Expected: the next of the page before'],
    ['entity?type=Nobody&id=1', 400, 'Nobody'],
    ['entity?type=Parcel&id=abc', 400, 'cannot be an id of Parcel'],
    ['plan?days=-1', 400, 'Expected: a whole number from 0 to 366'],
  ])('why there is no page %s', async (path, status, words) => {
    expect(await text(path, status)).toContain(words);
  });

  it('its stylesheet, which browsers may keep', async () => {
    const style = /href="(style\.css\?v=[0-9a-f]+)"/.exec(await page(''))![1]!;
    const { status, headers, text: css } = await app.get(`/spark/${style}`);
    expect({ status, type: headers['content-type'] }).toEqual({ status: 200, type: 'text/css; charset=utf-8' });
    expect(headers['cache-control']).toContain('immutable');
    expect(css).toContain('prefers-color-scheme: dark');
    expect(css).not.toMatch(/@import|url\(/);
  });

  it('its module, which browsers may keep', async () => {
    const script = /src="(script\.js\?v=[0-9a-f]+)"/.exec(await page(''))![1]!;
    const { status, headers, text: code } = await app.get(`/spark/${script}`);
    expect({ status, type: headers['content-type'] }).toEqual({ status: 200, type: 'text/javascript; charset=utf-8' });
    expect(headers['cache-control']).toContain('immutable');
    expect(code).toContain('new EventSource');
  });
});
