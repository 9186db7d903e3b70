import 'reflect-metadata';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EventSource, sparkEvent, SparkModule, SparkService } from 'nestjs-spark';
import { parseArgs } from 'node:util';
import { Column, DataSource, Entity, ManyToOne, OneToMany, PrimaryGeneratedColumn, type Relation } from 'typeorm';
import { type DatabaseName, ownDatabase } from './database.js';

@Entity()
class Challenge {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
  @OneToMany(() => Donation, (donation) => donation.challenge) donations: Relation<Donation>[];
}

@Entity()
class Donation {
  @PrimaryGeneratedColumn() id: number;
  @Column() amount: number;
  @ManyToOne(() => Challenge, (challenge) => challenge.donations) challenge: Relation<Challenge>;
}

@Injectable()
class Events {
  @EventSource(Challenge, { relations: { donations: true } })
  async events({ id, donations }: Challenge) {
    await Promise.resolve();
    return donations.length >= 2 && id % 100 === 0
      ? [sparkEvent('supported', id, { amount: donations[0]!.amount })]
      : [];
  }
}

/** Sweeps many entities with a to-many relation by a source that awaits, and tells how memory goes. */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { rows: { type: 'string' }, db: { type: 'string' } } });
  const rows = Number(values.rows ?? 1_000_000);
  const database = await ownDatabase((values.db ?? 'postgres') as DatabaseName);
  try {
    await measure(database.options, rows, values.db ?? 'postgres');
  } finally {
    await database.drop();
  }
}

async function measure(
  options: Awaited<ReturnType<typeof ownDatabase>>['options'],
  rows: number,
  db: string,
): Promise<void> {
  @Module({
    imports: [
      TypeOrmModule.forRoot({ ...options, entities: [Challenge, Donation], synchronize: true }),
      SparkModule.forRoot({ live: false }),
    ],
    providers: [Events],
  })
  class App {}
  const app = await NestFactory.createApplicationContext(App, { logger: ['error', 'warn'] });
  const spark = app.get(SparkService);
  await fill(app.get(DataSource), rows);

  const memory = () => {
    globalThis.gc!();
    return Math.round(process.memoryUsage().rss / 2 ** 20);
  };
  const readings: number[] = [];
  spark.sweeps$.subscribe(({ subjects, done }) => {
    if (done || subjects < ((readings.length + 1) * rows) / 10) return;
    readings.push(memory());
    console.log(`${subjects} of ${rows} entities, ${readings.at(-1)} MB`);
  });
  const report = await spark.sweep();
  await app.close();
  const grown = Math.max(...readings) - readings[0]!;
  const rate = Math.round(rows / (report.durationMs / 1000));
  console.log(
    `sweep-memory: db=${db} rows=${rows} entered=${report.entered} rate=${rate}/s grown_after_first_tenth=${grown}MB`,
  );
}

async function fill(dataSource: DataSource, rows: number): Promise<void> {
  const numbers: Record<string, string> = {
    postgres: `SELECT n FROM generate_series(1, ${rows}) AS s(n)`,
    mariadb: `SELECT seq AS n FROM seq_1_to_${rows}`,
    'better-sqlite3': `WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < ${rows}) SELECT n FROM s`,
  };
  const from = `FROM (${numbers[dataSource.options.type]!}) x`;
  const quote = (name: string) => dataSource.driver.escape(name);
  await dataSource.query(`INSERT INTO challenge (id, title) SELECT n, 'a challenge' ${from}`);
  for (const amount of [5, 10]) {
    await dataSource.query(`INSERT INTO donation (amount, ${quote('challengeId')}) SELECT ${amount}, n ${from}`);
  }
  const foreignKey = `CREATE INDEX donation_challenge ON donation (${quote('challengeId')})`;
  if (dataSource.options.type !== 'mariadb') await dataSource.query(foreignKey);
  if (dataSource.options.type === 'postgres') await dataSource.query('ANALYZE');
}

await main();
