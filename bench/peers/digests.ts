import { Injectable, type INestApplicationContext, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { GroupHandler, sparkEvent, type SparkEvent, SparkModule, SparkService } from 'nestjs-spark';
import { DataSource } from 'typeorm';
import { numbers } from '../application.js';
import type { Peer } from './peer.js';

type Donation = SparkEvent<{ recipient: number }>;

const RECIPIENTS = 1_000;
const PATTERN = /^donation/;
const NAME = 'mails';

/** How many events a handler was called with. */
abstract class Reports {
  static handled: (events: number) => void = () => undefined;
}

@Injectable()
class EachEvent {
  @GroupHandler(PATTERN, { name: NAME })
  async send(_event: Donation) {
    Reports.handled(1);
  }
}

@Injectable()
class ManyEvents {
  @GroupHandler(PATTERN, { name: NAME, batch: { max: 500 } })
  async send(events: Donation[]) {
    Reports.handled(events.length);
  }
}

@Injectable()
class Digest {
  @GroupHandler(PATTERN, {
    name: NAME,
    batch: { max: 500, wait: '1ms', by: ({ context }: Donation) => context.recipient },
  })
  async send(events: Donation[]) {
    Reports.handled(events.length);
  }
}

/** Handlers of Spark that do nothing with donations to many recipients: with each, with many in one call, and with those of a recipient. */
export const digests: Record<string, (postgresUrl: string) => Promise<Peer>> = {
  'each event': (url) => handling(url, EachEvent),
  'many in a call': (url) => handling(url, ManyEvents),
  digest: (url) => handling(url, Digest),
};

async function handling(url: string, handler: Type): Promise<Peer> {
  const start = async (isWorking: boolean): Promise<INestApplicationContext> => {
    @Module({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: 25, synchronize: true }),
        SparkModule.forRoot({ worker: isWorking ? { concurrency: 1_000 } : false, history: false }),
      ],
      providers: [handler],
    })
    class App {}
    return NestFactory.createApplicationContext(App, { logger: ['error'] });
  };
  let idle: INestApplicationContext | undefined;
  let working: INestApplicationContext | undefined;
  const recorder = async () => (idle ??= await start(false));
  return {
    async reset() {
      const tables = 'spark_event, spark_delivery, spark_recheck, spark_gathered, spark_throttle';
      await (await recorder()).get(DataSource).query(`TRUNCATE ${tables}`);
    },
    async fill(count) {
      const app = await recorder();
      const dataSource = app.get(DataSource);
      const first = Array.from({ length: RECIPIENTS }, (_, n) => sparkEvent('donation', `${n}-0`, { recipient: n }));
      await app.get(SparkService).emit(first);
      await dataSource.query(
        `WITH fresh AS (
           INSERT INTO spark_event (event_key, event_group, context, depth, recorded_at)
           SELECT event_key || '-' || n, event_group, context, depth, recorded_at
           FROM spark_event CROSS JOIN (${numbers('postgres', count / RECIPIENTS - 1)}) x RETURNING id, recorded_at)
         INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at)
         SELECT id, '${NAME}', 'available', 0, 0, 0, recorded_at FROM fresh`,
      );
      for (const table of ['spark_event', 'spark_delivery']) await dataSource.query(`VACUUM ANALYZE ${table}`);
    },
    async work(handled) {
      Reports.handled = (events) => {
        for (let i = 0; i < events; i++) handled(0);
      };
      working = await start(true);
    },
    add: () => Promise.reject(new Error('only a backlog is measured')),
    async close() {
      await working?.close();
      await idle?.close();
    },
  };
}
