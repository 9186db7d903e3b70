import { Injectable } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import {
  EventSource,
  getSparkToken,
  GroupHandler,
  sparkEvent,
  SparkModule,
  type SparkService,
  UnknownDataSourceError,
} from 'nestjs-spark';
import { SparkHealthIndicator } from 'nestjs-spark/terminus';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, type DataSourceOptions, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { databases, type TestDatabase } from './support/databases.js';
import { type Health, type HealthApp, startHealthApp } from './support/health-app.js';
import { inMemory } from './support/refusal.js';
import { StallingProxy } from './support/stalling-proxy.js';

@Entity()
class Note {
  @PrimaryGeneratedColumn() id: number;
  @Column() text: string;
}

@Injectable()
class Notes {
  @EventSource(Note, { name: 'notes' })
  *notes({ id }: Note) {
    yield sparkEvent('note', id);
  }

  @GroupHandler(/./, { name: 'mails' })
  send() {}
}

const until = async (ask: () => Promise<Health>, isSo: (health: Health) => boolean) => {
  let last: Health | undefined;
  for (const started = Date.now(); Date.now() - started < 20_000; await delay(50))
    if (isSo((last = await ask()))) return last;
  throw new Error(`it never came to that: ${last!.text}`);
};
const isUp = ({ status }: Health) => status === 'up';

describe.each(databases.filter(({ name }) => name !== 'SQLite'))('a health check, on $name', (database) => {
  let db: TestDatabase;
  let proxy: StallingProxy;
  let app: HealthApp;
  let port: string;

  beforeEach(async () => {
    db = await database.create();
    const { url } = db.options as { url: string };
    const started = await StallingProxy.start(url, database.name === 'PostgreSQL' ? 5432 : 3306);
    proxy = started.proxy;
    port = new URL(started.url).port;
    app = await startHealthApp({
      database: {
        ...db,
        options: { ...db.options, url: started.url, socketPath: undefined, poolSize: 6 } as DataSourceOptions,
      },
      entities: [Note],
      providers: [Notes],
      spark: { statementTimeout: '3s', shutdownTimeout: '1s', worker: { pollInterval: '50ms', concurrency: 3 } },
    });
    await app.spark.drain();
  });
  afterEach(async () => {
    proxy.resume();
    await app.close();
    await proxy.stop().catch(() => undefined);
    await db.drop();
  });

  it('of a database that does not answer is down within its time-out, by one read, and up when it answers again', async () => {
    expect(await app.health()).toMatchObject({ code: 200, status: 'up' });
    proxy.stall();
    const reads = vi.spyOn(app.spark, 'health');
    const asked = performance.now();
    const answers = await Promise.all(Array.from({ length: 8 }, () => app.health({ timeout: '500ms' })));
    expect(performance.now() - asked).toBeLessThan(2_500);
    for (const answer of answers)
      expect(answer).toMatchObject({ code: 503, all: 'error', status: 'down', message: 'timeout of 500ms exceeded' });
    expect(reads).toHaveBeenCalledTimes(1);
    proxy.goOn();
    await until(app.health, isUp);
  });

  it('of a database that is gone is down, and the answer names neither host nor error; the log does, once', async () => {
    await proxy.stop();
    const answer = await until(
      () => app.health(),
      ({ status }) => status === 'down',
    );
    expect(answer).toMatchObject({ code: 503, message: 'Spark cannot read its tables. The log says why.' });
    for (let i = 0; i < 3; i++)
      expect((await app.health()).text).not.toMatch(new RegExp(`127\\.0\\.0\\.1|${port}|ECONN`));
    const lines = app.logs.filter((line) => line.includes('The health check cannot read'));
    expect(lines).toEqual([expect.stringMatching(/^warn .*(ECONN|connect|terminated|closed|lost)/i)]);
  });
});

describe.each(databases)('a health check of several DataSources, on $name', (database) => {
  it('tells of the one that its options name, and refuses a name that has no SparkModule', async () => {
    const [db, archive] = [await database.create(), await database.create()];
    const app = await startHealthApp({
      database: db,
      entities: [],
      imports: [
        TypeOrmModule.forRoot({ ...archive.options, name: 'archive', entities: [Note], synchronize: true }),
        SparkModule.forRoot({ dataSource: 'archive' }),
      ],
      providers: [Notes],
    });
    const ofArchive = app.app.get<SparkService>(getSparkToken('archive'));
    await ofArchive.drain();
    await ofArchive.pause();
    await ofArchive.emit(sparkEvent('note', 1));
    await delay(30);
    expect(await app.health({ backlog: 20 })).toMatchObject({ status: 'up' });
    const { status, problems } = await app.health({ backlog: 20, dataSource: 'archive' });
    expect(status).toBe('degraded');
    expect(problems).toMatchObject([{ about: 'backlog' }]);
    const indicator = app.app.get(SparkHealthIndicator);
    await expect(indicator.check('spark', { dataSource: 'nowhere' })).rejects.toThrow(UnknownDataSourceError);
    await app.close();
    for (const { drop } of [db, archive]) await drop();
  });
});

describe('a health check, on SQLite', () => {
  it('of a file that is locked for longer is down within its time-out, and up afterwards', async () => {
    const app = await startHealthApp({ database: inMemory(), entities: [Note], providers: [Notes] });
    let end = () => {};
    const ended = new Promise<void>((resolve) => (end = resolve));
    let begin = () => {};
    const begun = new Promise<void>((resolve) => (begin = resolve));
    const transaction = app.dataSource.transaction(async () => {
      begin();
      await ended;
    });
    await begun;
    expect(await app.health({ timeout: '200ms' })).toMatchObject({ code: 503, message: 'timeout of 200ms exceeded' });
    end();
    await transaction;
    await until(app.health, isUp);
    await app.close();
  });

  it('before the application is initialised is down, and says so', async () => {
    const app = await startHealthApp({ database: inMemory(), entities: [] }, false);
    const result = await app.app.get(SparkHealthIndicator).check('spark');
    expect(result).toMatchObject({ spark: { status: 'down', message: expect.stringContaining('init') } });
    await app.close();
  });
});
