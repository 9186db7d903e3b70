import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { ConsoleLogger, type DynamicModule } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { SparkModule, SparkService } from 'nestjs-spark';
import { DataSource } from 'typeorm';
import { sqliteDriver } from '../apps/challenges/src/sqlite.js';
import { takeAway } from './actor/breaks.js';
import { partsOf } from './actor/companions.js';
import { Outside } from './actor/entities.js';
import { FaultPoints } from './actor/fault-points.js';
import { Life } from './actor/handlers.js';
import { Journal } from './actor/journal.js';
import { APPLICATIONS } from './actor/versions.js';
import { Writer } from './actor/writer.js';
import { type ActorInput, DEADLINE, LEASE } from './faults.js';
import { Dice } from './schedule.js';

class Actor {}

/** Records errors instead of printing them, as faults cause many. */
class Errors extends ConsoleLogger {
  override error(message: unknown): void {
    journal.record({ kind: 'error', text: String(message).split('\n', 1)[0]! });
  }
}

const input = JSON.parse(process.argv[2]!) as ActorInput;
const journal = new Journal(input.folder, input.life);
const points = new FaultPoints(journal, input.fate);

function application(): DynamicModule {
  const { worker, imports } = partsOf(input);
  const spark = {
    worker: { pollInterval: '200ms', leaseTtl: LEASE.ttl, leaseRenewal: LEASE.renewal, ...worker },
    shutdownTimeout: '5s',
    statementTimeout: DEADLINE,
  };
  const { entities, providers } = APPLICATIONS[input.version];
  return {
    module: Actor,
    imports: [
      TypeOrmModule.forRoot({
        ...input.database,
        ...(input.isSqlite ? { driver: sqliteDriver() } : {}),
        entities,
        retryAttempts: 20,
        retryDelay: 250,
      }),
      SparkModule.forRoot(spark),
      ...imports,
    ],
    providers: [
      ...providers,
      { provide: FaultPoints, useValue: points },
      { provide: Journal, useValue: journal },
      { provide: Life, useValue: new Life(input.life) },
    ],
  };
}

/** One of several processes that write, sweep and handle, until it is killed or gets the message to stop. */
async function main(): Promise<void> {
  points.install();
  if (input.broken) takeAway(input.broken, points);
  const app = await NestFactory.createApplicationContext(application(), {
    logger: new Errors({ logLevels: ['error', 'fatal'] }),
    abortOnError: false,
  });
  const [spark, dataSource] = [app.get(SparkService), app.get(DataSource)];
  const writer = new Writer(dataSource, journal, new Dice(input.seed), input.life, input.version);
  const stopping = new AbortController();
  process.on('message', (message) => {
    if (message === 'sweep') void sweepAll(spark).then(() => process.send!({ swept: true }));
    if (message !== 'stop') return;
    stopping.abort();
    writer.stop();
    void app.close().then(() => process.exit(0));
  });
  process.on('disconnect', () => process.exit(1));
  process.send!({ ready: true });
  if (input.finishes) return;
  if (input.fate?.poison) {
    const poison = { group: 'poison', key: `poison_${input.life}`, context: undefined };
    // The database may be away by now.
    await spark.emit(poison).catch(() => undefined);
  }
  void writer.run();
  // Items come by live capture alone: the sweep at the end of the round finds what that has missed.
  while (!stopping.signal.aborted) {
    await spark.sweep({ entity: Outside }).catch(() => undefined);
    await delay(200);
  }
}

/** What a process that was killed has had under its lease is free a little later. */
async function sweepAll(spark: SparkService): Promise<void> {
  while ((await spark.sweep()).elsewhere > 0) await delay(500);
}

main().catch((error: unknown) => {
  console.error(`process ${input.life} ends: ${String(error)}`);
  process.exit(1);
});
