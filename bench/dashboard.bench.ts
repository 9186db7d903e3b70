import 'reflect-metadata';
import { parseArgs } from 'node:util';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { SparkModule } from 'nestjs-spark';
import { SparkDashboardModule } from 'nestjs-spark-dashboard';
import { DataSource } from 'typeorm';
import { fillLargeTables, pagesOfLargeTables } from '../test/support/large-tables.js';
import { Parcel, ParcelHandlers, ParcelSource } from '../test/support/parcels.js';
import { figure, middle, type Row } from './contest.js';
import { type DatabaseName, ownDatabase } from './database.js';
import { runBench } from './results.js';

const { values } = parseArgs({ options: { events: { type: 'string' } }, strict: false });
const EVENTS = Number(values.events ?? 1_000_000);

/** How long each page of the dashboard takes, with so many events and deliveries. */
async function dashboard(db: DatabaseName, rounds: number): Promise<Row[]> {
  const database = await ownDatabase(db);
  class App {}
  const module = {
    module: App,
    imports: [
      TypeOrmModule.forRoot({ ...database.options, entities: [Parcel], synchronize: true }),
      SparkModule.forRoot({ worker: false }),
      SparkDashboardModule.forRoot({ access: () => 'all' }),
    ],
    providers: [ParcelSource, ParcelHandlers],
  };
  const app = await NestFactory.create(module, { logger: ['error', 'warn'] });
  try {
    await app.listen(0, '127.0.0.1');
    const url = `${(await app.getUrl()).replace('[::1]', '127.0.0.1')}/spark/`;
    await fillLargeTables(app.get(DataSource), EVENTS);
    const rows: Row[] = [];
    for (const page of pagesOfLargeTables(EVENTS)) {
      const times = await timesOf(url + page, rounds);
      const work = `${EVENTS.toLocaleString('en')} events and deliveries: /${page}`;
      const spread = { lowest: Math.min(...times), highest: Math.max(...times), rounds };
      rows.push(
        figure({ bench: 'dashboard', work, db, ratio: 'ms', median: middle(times), target: '≤ 150', ...spread }),
      );
    }
    return rows;
  } finally {
    await app.close();
    await database.drop();
  }
}

async function timesOf(url: string, rounds: number): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const began = performance.now();
    const response = await fetch(url);
    await response.text();
    if (response.status !== 200) throw new Error(`${url} answers ${response.status}.`);
    if (round > 0) times.push(performance.now() - began);
  }
  return times;
}

await runBench(['postgres'], dashboard);
