import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { INestApplication } from '@nestjs/common';
import { SparkService } from 'nestjs-spark';
import request from 'supertest';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createApp } from '../apps/challenges/src/app.js';
import { settingsFrom } from '../apps/challenges/src/settings.js';

const DAY = 86_400_000;
const daysFromNow = (days: number): string => new Date(Date.now() + days * DAY).toISOString();

let data: string;
let app: INestApplication;

beforeAll(async () => {
  data = await mkdtemp(join(tmpdir(), 'challenges-'));
});

afterAll(() => rm(data, { recursive: true }));

async function start(): Promise<void> {
  app = await createApp(settingsFrom({ DATA: data }), { logger: ['error', 'warn'] });
  await app.init();
  await app.get(SparkService).drain();
}

const api = () => request(app.getHttpServer());
const mails = async () => (await readdir(join(data, 'outbox'))).toSorted();

describe('the demo, on SQLite', () => {
  beforeEach(start);
  afterEach(() => app.close());

  const run = { title: 'Run 10 km', ownerMail: 'ada@example.org', startDate: '2026-05-01', endDate: daysFromNow(9) };

  it('sends mails of all groups but the one that has to last at its first start, and closes the challenge that has ended', async () => {
    expect(await mails()).toEqual([
      'challenge_created_1.eml',
      'challenge_created_2.eml',
      'challenge_created_3.eml',
      'challenge_created_4.eml',
      'challenge_ended_4.eml',
      'challenge_ends_2d_3.eml',
      'challenge_inactivity_2d_2.eml',
      // Two weeks have passed since it began, 20 days ago.
      expect.stringMatching(/^challenge_week_3%40.*\.eml$/),
    ]);
    const { body } = await api().get('/challenges').expect(200);
    expect(body.map((challenge: { isActive: boolean }) => challenge.isActive)).toEqual([false, true, true, true]);
  });

  it('makes the Message-ID of a mail from the key of its event', async () => {
    const mail = await readFile(join(data, 'outbox', 'challenge_ended_4.eml'), 'utf8');

    expect(mail).toMatch(/^Message-ID: <challenge_ended_4@/m);
    expect(mail).toMatch(/^To: edsger@example.org/m);
    expect(mail).toContain('78.00 EUR by 3 donations');
  });

  it('sends nothing again at a second start, and by a sweep', async () => {
    const before = await api().get('/events?limit=100').expect(200);
    await app.close();
    for (const mail of await mails()) await rm(join(data, 'outbox', mail));

    await start();
    await api()
      .post('/sweep')
      .expect(200)
      .expect(({ body }) => expect(body).toMatchObject({ subjects: 10, entered: 0, failed: 0 }));
    await app.get(SparkService).drain();

    expect(await mails()).toEqual([]);
    expect((await api().get('/events?limit=100').expect(200)).body).toEqual(before.body);
  });

  it('writes a mail for a challenge that comes by REST, and shows its event and delivery first', async () => {
    const { body } = await api().post('/challenges').send(run).expect(201);
    expect(body).toMatchObject({
      title: run.title,
      isActive: true,
      startDate: '2026-05-01T00:00:00.000Z',
      donations: [],
    });
    await app.get(SparkService).drain();

    expect(await mails()).toContain(`challenge_created_${body.id}.eml`);
    const events = await api().get('/events?limit=3').expect(200);
    expect(events.body.events.map(({ key }: { key: string }) => key).toSorted()).toEqual([
      `challenge_created_${body.id}`,
      `challenge_inactivity_2d_${body.id}`,
      expect.stringMatching(`^challenge_week_${body.id}@`),
    ]);
    expect(events.body.events[0]).toMatchObject({
      entity: 'Challenge',
      entityId: String(body.id),
      deliveries: [{ handler: 'challenge-mails', state: 'completed', attempt: 1, error: null }],
    });
    const { body: more } = await api().get(`/events?limit=2&after=${events.body.next}`).expect(200);
    expect(more.events).toHaveLength(2);
    expect(Number(more.events[0].id)).toBeLessThan(Number(events.body.next));
  });

  it('takes donations and changes: an early end ends and closes the challenge', async () => {
    const { body: challenge } = await api().post('/challenges').send(run).expect(201);
    await api().post(`/challenges/${challenge.id}/donations`).send({ amount: 2500, donor: 'Grace' }).expect(201);
    const changed = await api()
      .patch(`/challenges/${challenge.id}`)
      .send({ endDate: daysFromNow(-1) })
      .expect(200);
    expect(changed.body).toMatchObject({ title: run.title, donations: [{ amount: 2500, donor: 'Grace' }] });
    await app.get(SparkService).drain();

    expect(await mails()).toContain(`challenge_ended_${challenge.id}.eml`);
    const { body } = await api().get('/challenges?limit=1').expect(200);
    expect(body).toMatchObject([{ id: challenge.id, isActive: false }]);
  });

  it('takes a goal, and takes it back', async () => {
    const { body: challenge } = await api()
      .post('/challenges')
      .send({ ...run, goal: 5000 })
      .expect(201);
    expect(challenge.goal).toBe(5000);
    const { body } = await api().patch(`/challenges/${challenge.id}`).send({ goal: null }).expect(200);
    expect(body.goal).toBeNull();
  });

  it.each([
    ['post', '/challenges', {}, ['title', 'ownerMail', 'startDate', 'endDate']],
    ['post', '/challenges', undefined, ['title', 'ownerMail', 'startDate', 'endDate']],
    ['post', '/challenges', { ...run, title: ' ' }, ['title']],
    ['post', '/challenges', { ...run, title: 'a\nb' }, ['title']],
    ['post', '/challenges', { ...run, title: 'x'.repeat(201) }, ['title']],
    ['post', '/challenges', { ...run, ownerMail: 'ada' }, ['ownerMail']],
    ['post', '/challenges', { ...run, startDate: 'soon' }, ['startDate']],
    ['post', '/challenges', { ...run, endDate: '2026-05-01' }, ['endDate']],
    ['post', '/challenges', { ...run, id: 1 }, ['id']],
    ['post', '/challenges', { ...run, goal: 0 }, ['goal']],
    ['patch', '/challenges/1', { goal: '5' }, ['goal']],
    ['patch', '/challenges/1', { title: null }, ['title']],
    ['patch', '/challenges/1', { isActive: 'no' }, ['isActive']],
    ['patch', '/challenges/1', { endDate: '2000-01-01' }, ['endDate']],
    ['patch', '/challenges/one', { title: 'x' }, ['id']],
    ['patch', '/challenges/99999999999', { title: 'x' }, ['id']],
    ['post', '/challenges/1e0/donations', { amount: 5 }, ['id']],
    ['post', '/challenges/1/donations', { amount: 0.5 }, ['amount']],
    ['post', '/challenges/1/donations', { amount: '5' }, ['amount']],
    ['post', '/challenges/1/donations', { amount: 5, donor: '' }, ['donor']],
    ['get', '/events?limit=1000', undefined, ['limit']],
    ['get', '/events?after=none', undefined, ['after']],
    ['get', '/challenges?order=id', undefined, ['order']],
  ] as const)('refuses %s %s %j, naming %j', async (method, path, body, fields) => {
    const response = await api()[method](path).send(body).expect(400);

    for (const field of fields) expect(response.body.message.join('\n')).toMatch(new RegExp(`\\b${field}\\b`));
  });

  it('lists challenges in pages, newest first, each with all its donations', async () => {
    const ids = async (query: string) => {
      const { body } = await api().get(`/challenges?${query}`).expect(200);
      return body.map(({ id }: { id: number }) => id);
    };
    const all: number[] = await ids('limit=100');

    expect(all).toEqual(all.toSorted((a, b) => b - a));
    expect(all.slice(-4)).toEqual([4, 3, 2, 1]);
    expect(await ids('limit=3')).toEqual(all.slice(0, 3));
    expect(await ids('limit=3&page=2')).toEqual(all.slice(3, 6));
    expect(await ids('page=99')).toEqual([]);
    const { body } = await api().get('/challenges?limit=100').expect(200);
    expect(body.at(-4).donations.map(({ amount }: { amount: number }) => amount)).toEqual([5000, 2000, 800]);
  });

  it('answers 404 for a challenge that is not there', async () => {
    const donated = await api().post('/challenges/4711/donations').send({ amount: 5 });
    const changed = await api().patch('/challenges/4711').send({ title: 'x' });

    expect([donated.status, changed.status]).toEqual([404, 404]);
    expect(donated.body.message).toBe('There is no challenge 4711.');
  });

  it('explains itself by an OpenAPI page, to which / leads', async () => {
    await api().get('/').expect(302).expect('Location', '/api');
    await api().get('/api').expect(200).expect('Content-Type', /html/);
    const { body } = await api().get('/api-json').expect(200);
    expect(Object.keys(body.paths).toSorted()).toEqual([
      '/challenges',
      '/challenges/{id}',
      '/challenges/{id}/donations',
      '/events',
      '/sweep',
    ]);
  });
});
