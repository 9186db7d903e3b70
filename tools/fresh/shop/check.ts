// An SDK is registered before the application is created.
import { spans, sumOf } from './telemetry.js';
import { strict as assert } from 'node:assert';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ConsoleLogger } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type DeliveryReport, SparkService } from 'nestjs-spark';
import { DataSource } from 'typeorm';
import { AppModule } from './app.module.js';
import { Order } from './order.entity.js';
import { OnCall } from './shop.js';

interface Line {
  readonly level: string;
  readonly message: string;
  readonly params?: { readonly handler?: string; readonly key?: string; readonly error?: { readonly name: string } };
}

/** Nest's JSON logger, which keeps what it would print. */
class JsonLines extends ConsoleLogger {
  readonly all: Line[] = [];

  constructor() {
    super({ json: true });
  }

  protected override printAsJson(message: unknown, options: never): void {
    this.all.push(JSON.parse(this.stringifyJsonLogObject(this.getJsonLogObject(message, options))) as Line);
  }
}

/** Prints one line of JSON for each check. */
async function check(name: string, work: () => unknown): Promise<void> {
  try {
    await work();
    console.log(JSON.stringify({ check: name }));
  } catch (error) {
    process.exitCode = 1;
    console.log(JSON.stringify({ check: name, error: error instanceof Error ? error.stack : String(error) }));
  }
}

async function until(isSo: () => boolean): Promise<void> {
  for (let i = 0; i < 1_000 && !isSo(); i++) await delay(10);
}

async function main(): Promise<void> {
  const lines = new JsonLines();
  const app = await NestFactory.create(AppModule, { logger: lines, abortOnError: false });
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  const spark = app.get(SparkService);
  const reports: DeliveryReport[] = [];
  spark.deliveries$.subscribe((report) => reports.push(report));

  await check('require and import: one copy', async () => {
    const require = createRequire(join(process.cwd(), 'package.json'));
    for (const path of ['', '/testing', '/otel', '/terminus', '-dashboard', '-bullmq']) {
      const required = require(`nestjs-spark${path}`) as Record<string, unknown>;
      const imported = (await import(`nestjs-spark${path}`)) as Record<string, unknown>;
      for (const key of Object.keys(required)) assert.equal(required[key], imported[key], key);
    }
  });

  await check('a save is handled', async () => {
    const mails = ['a@example.org', 'nowhere', 'c@example.org'];
    await app
      .get(DataSource)
      .getRepository(Order)
      .save(mails.map((mail, i) => ({ id: i + 1, mail })));
    await until(() => reports.length >= 6);
    const ended = reports.map(({ handler, key, state }) => `${handler} ${key} ${state}`).sort();
    const completed = ['audit order_placed_1', 'audit order_placed_2', 'audit order_placed_3'];
    assert.deepEqual(ended, [
      ...completed.map((one) => `${one} completed`),
      'mails order_placed_1 completed',
      'mails order_placed_2 discarded',
      'mails order_placed_3 completed',
    ]);
  });

  await check('log lines have fields', () => {
    const line = lines.all.find(({ message }) => message.includes('is discarded'));
    const { handler, key, error } = line?.params ?? {};
    assert.deepEqual([handler, key, error?.name], ['mails', 'order_placed_2', 'DiscardDelivery']);
  });

  await check('health for Terminus', async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/health`);
    const { details } = (await answer.json()) as { details: { spark: { status: string; problems: unknown[] } } };
    const { status, problems } = details.spark;
    assert.deepEqual([answer.status, status, problems.length], [200, 'degraded', 1]);
  });

  await check('spans', () => {
    const finished = spans.getFinishedSpans();
    const entered = finished.find(({ name }) => name === 'enter order_placed');
    const handled = finished.filter(({ name }) => name === 'process mails');
    const links = handled.map((span) => span.links[0]?.context.traceId);
    assert.equal(handled.length, 3);
    assert.ok(entered && links.includes(entered.spanContext().traceId));
  });

  await check('metrics', async () => {
    assert.equal(await sumOf('messaging.client.sent.messages'), 3);
    assert.equal(await sumOf('spark.delivery.attempts'), 6);
    assert.equal(await sumOf('spark.workers'), 1);
  });

  await check('an alert', async () => {
    // Spark watches once a minute. This does not wait so long.
    const { alertWatch } = (spark as unknown as { spark: { alertWatch: { run(every: number): Promise<void> } } }).spark;
    await alertWatch.run(0);
    const { summaries } = app.get(OnCall);
    assert.equal(summaries.length, 1);
    assert.match(summaries[0]!, /mails/);
  });

  await check('the dashboard', async () => {
    const answer = await fetch(`http://127.0.0.1:${port}/spark/deliveries`);
    assert.deepEqual([answer.status, (await answer.text()).includes('order_placed_2')], [200, true]);
  });

  await check('a sweep, and a row that only the next one finds', async () => {
    assert.equal((await spark.sweep()).subjects, 3);
    await app.get(DataSource).query(`INSERT INTO shop_order (id, mail) VALUES (4, 'd@example.org')`);
  });

  await app.close();
}

void main();
