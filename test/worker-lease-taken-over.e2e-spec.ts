import { Injectable } from '@nestjs/common';
import { DiscardDelivery, GroupHandler, RetryLater, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { afterEach, describe, expect, it } from 'vitest';
import { startApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

const done: string[] = [];
const ends: Record<string, () => void> = {
  completed: () => undefined,
  failed: () => {
    throw new Error('on purpose');
  },
  discarded: () => {
    throw new DiscardDelivery('on purpose');
  },
  delayed: () => {
    throw new RetryLater('1s', 'on purpose');
  },
};

@Injectable()
class Handlers {
  constructor(private readonly dataSource: DataSource) {}

  /** While it is at work, another process takes its delivery over: as many attempts later, or with the same. */
  @GroupHandler(/^thing/, { name: 'thing', maxAttempts: 5 })
  async handle({ key }: SparkEvent<undefined>) {
    const [, end, rival] = key.split('_');
    const changes = rival === 'claim' ? `claimed_by = 'rival'` : 'attempt = attempt + 1';
    const event = `(SELECT id FROM spark_event WHERE event_key = '${key}')`;
    await this.dataSource.query(`UPDATE spark_delivery SET ${changes}, due_at = 7 WHERE event_id = ${event}`);
    done.push(key);
    ends[end!]!();
  }
}

describe.each(databases)('what is taken over by another process is left alone, on $name', (database) => {
  let db: TestDatabase;
  afterEach(() => db.drop());

  const cases = Object.keys(ends).flatMap((end) => ['claim', 'attempt'].map((rival) => ({ end, rival })));
  it.each([true, false])(
    'however the handler ends here, and by whatever it is another one’s, history: %s',
    async (history) => {
      done.length = 0;
      db = await database.create();
      const spark = { worker: { pollInterval: '1h' }, history };
      const app = await startApp({ database: db, entities: [], providers: [Handlers], spark });
      await app.spark.emit(cases.map(({ end, rival }) => sparkEvent(`thing_${end}`, rival)));
      for (let i = 0; i < 300 && done.length < cases.length; i++) await delay(10);
      await app.spark.drain();
      const rows = await app.dataSource.query(
        `SELECT event_key, state, attempt, suspect, last_error, d.due_at FROM spark_delivery d JOIN spark_event e ON e.id = d.event_id
       ORDER BY event_id`,
      );
      await app.close();
      const sorted = cases.map(({ end, rival }) => `thing_${end}_${rival}`).sort();
      expect(rows.map((row: any) => ({ ...row, due_at: Number(row.due_at) }))).toEqual(
        sorted.map((key) => ({
          event_key: key,
          state: 'running',
          attempt: key.endsWith('claim') ? 1 : 2,
          suspect: 0,
          last_error: null,
          due_at: 7,
        })),
      );
      expect(done).toHaveLength(cases.length);
      expect(app.logs).toContain(
        `warn ${cases.length} deliveries had been taken over by other processes when they were done here.`,
      );
    },
  );
});
