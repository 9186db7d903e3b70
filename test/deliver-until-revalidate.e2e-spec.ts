import { Injectable } from '@nestjs/common';
import {
  type DeliveryReport,
  EventSource,
  GroupHandler,
  type HandlerScope,
  type SourceScope,
  sparkEvent,
  type SparkEvent,
} from 'nestjs-spark';
import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Meeting {
  @PrimaryGeneratedColumn() id: number;
  @Column() isActive: boolean;
  @Column({ type: 'bigint' }) startsAt: string;
}

const START = Date.parse('2026-06-01T12:00:00Z');
const HOUR = 3_600_000;

@Injectable()
class Sources {
  fails = false;

  @EventSource(Meeting, { name: 'meetings' })
  *meetings({ id, isActive, startsAt }: Meeting, _scope: SourceScope) {
    if (this.fails) throw new Error('on purpose');
    if (!isActive) return;
    const start = new Date(Number(startsAt));
    yield sparkEvent('reminder', id, undefined, { at: new Date(Number(startsAt) - HOUR), until: start });
    yield sparkEvent('announced', id);
    yield sparkEvent('opened', id, undefined, { at: start });
  }
}

@Injectable()
class Batch {
  hangs = false;

  @EventSource(Meeting, { name: 'batch', batch: true })
  async announce(meetings: Meeting[]) {
    if (this.hangs) await new Promise(() => undefined);
    return meetings.flatMap(({ id, isActive }) => (isActive ? [sparkEvent('listed', id)] : []));
  }
}

@Injectable()
class Handlers {
  calls: string[] = [];
  fails: 'list' | 'mail' | 'announce' | 'open' | undefined;
  closes = false;

  @GroupHandler(/^announced/, { name: 'close', transactional: true, revalidate: true })
  async close({ key }: SparkEvent, { manager }: HandlerScope) {
    if (!this.closes) return;
    this.calls.push(`close ${key}`);
    await manager.update(Meeting, Number(key.replace('announced_', '')), { isActive: false });
  }

  @GroupHandler(/^reminder/, { name: 'mail', backoff: () => HOUR })
  mail({ key, until }: SparkEvent) {
    this.calls.push(`mail ${key} until ${until?.toISOString()}`);
    this.fail('mail');
  }

  @GroupHandler(/^(announced|bounced)/, { name: 'announce', revalidate: true, backoff: () => 1_000, concurrency: 1 })
  announce({ key }: SparkEvent) {
    this.calls.push(`announce ${key}`);
    this.fail('announce');
  }

  @GroupHandler(/^opened/, { name: 'open', revalidate: true, backoff: () => 1_000 })
  open({ key }: SparkEvent) {
    this.calls.push(`open ${key}`);
    this.fail('open');
  }

  @GroupHandler(/^listed/, { name: 'list', revalidate: true, timeout: 100, backoff: () => 1_000 })
  list({ key }: SparkEvent) {
    this.calls.push(`list ${key}`);
    this.fail('list');
  }

  private fail(handler: Exclude<Handlers['fails'], undefined>): void {
    if (this.fails !== handler) return;
    this.fails = undefined;
    throw new Error('on purpose');
  }
}

describe.each(databases)('an event that is no longer wanted is skipped, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let now: number;
  let handlers: Handlers;
  let reports: DeliveryReport[];

  beforeEach(async () => {
    now = START;
    db = await database.create();
    await start([Sources, Handlers]);
  });
  const start = async (providers: any[]) => {
    app = await startApp({
      database: db,
      entities: [Meeting],
      providers,
      clock: { now: () => now, isManual: true },
      spark: { worker: { concurrency: 1 } },
    });
    handlers = app.app.get(Handlers);
    reports = [];
    app.spark.deliveries$.subscribe((report) => reports.push(report));
  };
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const save = (values: Partial<Meeting> = {}) =>
    app.dataSource.manager.save(Meeting, { isActive: true, startsAt: String(START + 3 * HOUR), ...values });
  const at = async (hours: number) => {
    now = START + hours * HOUR;
    await app.spark.drain();
  };
  const keys = async () =>
    (await app.dataSource.query('SELECT event_key FROM spark_event ORDER BY event_key')).map(
      ({ event_key }: { event_key: string }) => event_key,
    ) as string[];
  const deliveries = async () =>
    (await app.dataSource.query('SELECT handler, state, last_error FROM spark_delivery ORDER BY id')).map(
      (row: any) => `${row.handler} ${row.state}${row.last_error ? `: ${row.last_error.split('\n')[0]}` : ''}`,
    ) as string[];

  describe('because it is too late (until)', () => {
    it('is handled in time, and knows when it ends', async () => {
      const { id } = await save();
      await at(2);
      expect(handlers.calls).toContain(`mail reminder_${id} until 2026-06-01T15:00:00.000Z`);
    });

    it('is not entered at all where nobody rechecked in time', async () => {
      await save();
      await at(3);
      expect((await keys()).filter((key) => key.startsWith('reminder'))).toEqual([]);
      expect(app.logs.join('\n')).not.toContain('reminder');
    });

    it('is skipped where its delivery came too late', async () => {
      handlers.fails = 'mail';
      await save();
      await at(2);
      await at(3);
      expect(handlers.calls.filter((call) => call.startsWith('mail'))).toHaveLength(1);
      expect(await deliveries()).toContain('mail skipped: its until, 2026-06-01T15:00:00.000Z, has passed');
      expect(reports.filter(({ state }) => state === 'skipped').map(({ handler }) => handler)).toEqual(['mail']);
    });

    it('is not entered by emit either', async () => {
      const until = new Date(START - 1);
      expect(await app.spark.emit(sparkEvent('closing', 1, undefined, { until }))).toEqual([]);
      expect(await app.spark.emit(sparkEvent('closing', 2, undefined, { until: new Date(START + 1) }))).toHaveLength(1);
      expect(await app.spark.emit(sparkEvent('closing', 3, undefined, { until: null }))).toHaveLength(1);
    });

    it('is refused where it would end before it begins', async () => {
      const emit = (options: object) => app.spark.emit(sparkEvent('closing', 1, undefined, options));
      const times = { at: new Date(START - HOUR), until: new Date(START - HOUR) };
      await expect(emit(times)).rejects.toThrow('its until is not after its at');
      await expect(emit({ until: new Date(Number.NaN) })).rejects.toThrow('its until is an invalid Date');
      await expect(emit({ until: 'tomorrow' })).rejects.toThrow('its until is "tomorrow", not a Date');
    });
  });

  describe('because its source does not yield it any more (revalidate)', () => {
    it('is handled as long as it does, and when no source could', async () => {
      const { id } = await save();
      await app.spark.emit(sparkEvent('bounced', 1));
      await app.spark.drain();
      expect(handlers.calls).toEqual(expect.arrayContaining([`announce announced_${id}`, 'announce bounced_1']));
      expect(await deliveries()).toEqual(['announce completed', 'close completed', 'announce completed']);
    });

    it('is skipped at a retry, with the reason', async () => {
      handlers.fails = 'announce';
      const { id } = await save();
      await app.spark.drain();
      await app.dataSource.query(`UPDATE meeting SET ${quoted('isActive')} = ${no()} WHERE id = ${id}`);
      await at(1);
      expect(handlers.calls.filter((call) => call.startsWith('announce'))).toHaveLength(1);
      expect(await deliveries()).toContain('announce skipped: meetings no longer yields it');
    });

    it('is skipped at a retry where it is to become true only later by now', async () => {
      const { id } = await save({ startsAt: String(START + HOUR) });
      handlers.fails = 'open';
      await at(1);
      await app.dataSource.manager.update(Meeting, id, { startsAt: String(START + 9 * HOUR) });
      await at(2);
      expect(handlers.calls.filter((call) => call.startsWith('open'))).toHaveLength(1);
      expect(await deliveries()).toContain('open skipped: meetings no longer yields it');
    });

    it('is skipped where its entity is gone', async () => {
      handlers.fails = 'announce';
      const { id } = await save();
      await app.spark.drain();
      await app.dataSource.manager.delete(Meeting, id);
      await at(1);
      expect(await deliveries()).toContain('announce skipped: meetings no longer yields it');
    });

    it('is tried again where its source fails', async () => {
      handlers.fails = 'announce';
      await save();
      await app.spark.drain();
      app.app.get(Sources).fails = true;
      await at(1);
      expect((await deliveries()).find((line) => line.startsWith('announce'))).toContain('announce available');
      app.app.get(Sources).fails = false;
      await at(2);
      expect(await deliveries()).toContain('announce completed');
    });

    it('is skipped where its source is about a batch', async () => {
      await app.close();
      await start([Batch, Handlers]);
      handlers.fails = 'list';
      const { id } = await save();
      await save();
      await app.spark.drain();
      await app.dataSource.query(`UPDATE meeting SET ${quoted('isActive')} = ${no()} WHERE id = ${id}`);
      await at(1);
      expect((await deliveries()).sort()).toEqual(['list completed', 'list skipped: batch no longer yields it']);
    });

    it('is tried again where its source takes longer than the handler may', async () => {
      await app.close();
      await start([Batch, Handlers]);
      handlers.fails = 'list';
      await save();
      await app.spark.drain();
      app.app.get(Batch).hangs = true;
      await at(1);
      expect(await deliveries()).toEqual([expect.stringMatching(/^list available: .*still at work after 100 ms/)]);
      expect(handlers.calls).toHaveLength(1);
    });

    // The trap that the README shows.
    it('is skipped, too, because of what another handler of the same event has written', async () => {
      handlers.closes = true;
      const { id } = await save();
      await app.spark.drain();
      expect(handlers.calls).toEqual([`close announced_${id}`]);
      expect(await deliveries()).toEqual(['announce skipped: meetings no longer yields it', 'close completed']);
    });
  });

  const quoted = (column: string) => (database.name === 'MariaDB' ? `\`${column}\`` : `"${column}"`);
  const no = () => (database.name === 'PostgreSQL' ? 'false' : '0');
});
