import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { randomUUID } from 'node:crypto';
import { BatchError, type BatchScope, GroupHandler, type SparkEvent } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { handleUntilMessage } from './handling-process.js';

const { options, driver, chaos } = JSON.parse(process.argv[2]!);
const BACKOFF = { base: '50ms', max: '200ms' } as const;

/** Records each event of a call in a table of its own, with the id of the call. */
@Injectable()
class Handlers {
  constructor(private readonly dataSource: DataSource) {}

  @GroupHandler(/^(good|poison)/, { name: 'plain', maxAttempts: 3, batch: { max: 10, wait: '200ms' } })
  async plain(events: SparkEvent[]) {
    await this.record(this.dataSource.manager, 'plain', events);
    process.send?.({ called: events.map(({ key }) => key) });
    if (events.some(({ group }) => group === 'poison')) process.kill(process.pid, 'SIGKILL');
    await delay(300);
  }

  @GroupHandler(/^item/, {
    name: 'items',
    transactional: true,
    concurrency: 2,
    backoff: BACKOFF,
    batch: { max: 7, wait: '20ms' },
  })
  async items(events: SparkEvent[], { manager }: BatchScope) {
    await this.record(manager, 'items', events);
    await fate(events);
  }

  @GroupHandler(/^mail/, {
    name: 'digests',
    transactional: true,
    concurrency: 3,
    backoff: BACKOFF,
    batch: { max: 5, by: ({ context }) => context.to, wait: '1s' },
  })
  async digests(events: SparkEvent<{ to: string }>[], { manager }: BatchScope) {
    await this.record(manager, 'digests', events);
    await fate(events);
  }

  private async record(manager: { query(sql: string): Promise<unknown> }, handler: string, events: SparkEvent[]) {
    const id = randomUUID();
    const rows = events.map(({ key }) => `('${handler}', '${key}', '${id}', ${process.pid})`);
    await manager.query(`INSERT INTO calls (handler, name, call_id, pid) VALUES ${rows.join(', ')}`);
  }
}

/** What happens to a call in a run at random. */
async function fate(events: readonly SparkEvent[]): Promise<void> {
  if (!chaos) return;
  await delay(Math.random() * 30);
  const lot = Math.random();
  if (lot < 0.1) throw new Error('on purpose');
  if (lot < 0.25) throw new BatchError([events[Math.floor(Math.random() * events.length)]!]);
  if (lot < 0.28) process.kill(process.pid, 'SIGKILL');
}

handleUntilMessage({ options, driver }, { entities: [], providers: [Handlers] });
