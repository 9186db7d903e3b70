import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { SparkService } from 'nestjs-spark';
import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AppModule } from '../apps/challenges/src/app.module.js';
import { createApp } from '../apps/challenges/src/app.js';
import { settingsFrom } from '../apps/challenges/src/settings.js';
import { SampleSupporters } from '../apps/challenges/src/supporter/sample-supporters.js';
import { textOf } from './support/dashboard-app.js';

describe('the dashboard of the demo, on SQLite,', () => {
  let data: string;
  let app: INestApplication;

  beforeAll(async () => {
    data = await mkdtemp(join(tmpdir(), 'demo-dashboard-'));
    app = await createApp(settingsFrom({ DATA: data }), { logger: false });
    await app.listen(0);
    await app.get(SampleSupporters).add(new Date());
    await app.get(SparkService).drain();
  });
  afterAll(async () => {
    await app.close();
    await rm(data, { recursive: true });
  });

  const textOfPage = async (page: string) => {
    const { text } = await request(app.getHttpServer()).get(`/spark/${page}`).expect(200);
    return textOf(text);
  };

  it.each([
    ['', /1 discarded in the last hour.* 120 held.* 1 paused handlers/],
    ['events', /supporter_joined_\d+ supporter_joined Supporter \d+ .*80 in all/],
    ['deliveries?state=completed', /challenge-mails .*supporter-badges /],
    ['deliveries?state=available&handler=supporter-badges', /printer is jammed at badge 5.* 1 in all/],
    ['deliveries?state=discarded', /a badge has room for 24.* 1 in all/],
    ['errors', /printer is jammed.* supporter-badges 1 0 /],
    ['entity?type=Challenge&id=1', /challenge_created_1 was entered.* Now .*Recheck/],
    ['plan?days=2', /challenge_goal_1d .*supporter_year /],
    ['held', /supporter_joined Deliveries 120 /],
    ['sweeps', /SupporterEvents.events Supporter idle .* 60 /],
    ['handlers', /supporter-letters .* paused \d{4}-/],
    ['rechecks', /Challenge 1 0 .*Supporter 8 0 /],
    ['workers', new RegExp(` ${process.pid} `)],
  ])('shows something on the page %j', async (page, words) => {
    expect(await textOfPage(page)).toMatch(words);
  });

  it('has its samples once, and no letter is sent to them while their handler is paused', async () => {
    await app.get(SampleSupporters).add(new Date());
    expect(await textOfPage('events?entity=Supporter')).toContain('66 in all');
    expect((await readdir(join(data, 'outbox'))).filter((mail) => mail.startsWith('supporter'))).toEqual([]);
  });

  it('does nothing in a process without HTTP', async () => {
    const settings = settingsFrom({ DATA: join(data, 'worker') });
    const worker = await NestFactory.createApplicationContext(AppModule.forRoot(settings), { logger: false });
    await worker.get(SparkService).drain();
    await worker.close();
  });

  // Elsewhere, a machine has only one address that leads to itself.
  it.runIf(process.platform === 'linux')('is closed to other addresses', async () => {
    const { port } = app.getHttpServer().address() as AddressInfo;
    const statusFor = (localAddress: string) =>
      new Promise((resolve, reject) => {
        const asked = get(
          { host: '127.0.0.1', port, localAddress, path: '/spark/events', agent: false },
          (response) => {
            response.resume();
            resolve(response.statusCode);
          },
        );
        asked.on('error', reject);
      });
    expect(await statusFor('127.0.0.1')).toBe(200);
    expect(await statusFor('127.0.0.2')).toBe(403);
  });
});
