import { Inject, Injectable, type INestApplicationContext, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { type ClientProxy, ClientsModule, RmqRecordBuilder, Transport } from '@nestjs/microservices';
import { TypeOrmModule } from '@nestjs/typeorm';
import { connect } from 'amqplib';
import {
  GroupHandler,
  type InterceptedDelivery,
  sparkEvent,
  type SparkEvent,
  SparkInterceptor,
  type SparkInterceptorHooks,
  SparkModule,
  SparkService,
} from 'nestjs-spark';
import { Relay, SparkRelayModule } from 'nestjs-spark/microservices';
import { lastValueFrom } from 'rxjs';
import { DataSource } from 'typeorm';
import type { Peer } from './peer.js';

const BROKER = process.env.TEST_RABBITMQ_URL ?? 'amqp://guest:guest@127.0.0.1:5672';
const QUEUE = 'nestjs-spark-bench';

@Relay(/^order/, { name: 'out', client: 'BUS' })
@Injectable()
class OrderRelay {}

/** What a relay saves an application from writing. */
@Injectable()
class OrderHandler {
  constructor(@Inject('BUS') private readonly client: ClientProxy) {}

  @GroupHandler(/^order/, { name: 'out' })
  async send({ group, key, context }: SparkEvent) {
    const record = new RmqRecordBuilder({ id: key, type: group, data: context })
      .setOptions({ persistent: true })
      .build();
    await lastValueFrom(this.client.emit(group, record), { defaultValue: undefined });
  }
}

/** Sends events of Spark to RabbitMQ, by a relay or by a handler. */
export const relays: Record<string, (postgresUrl: string) => Promise<Peer>> = {
  relay: (url) => sending(url, OrderRelay),
  'handler with emit': (url) => sending(url, OrderHandler),
};

async function sending(url: string, sender: Type): Promise<Peer> {
  let report: (job: number) => void = () => undefined;
  @SparkInterceptor()
  class Counting implements SparkInterceptorHooks {
    async aroundHandler({ batch }: InterceptedDelivery, next: () => Promise<void>) {
      await next();
      for (let i = batch?.length ?? 1; i > 0; i--) report(0);
    }
  }
  const options = { urls: [BROKER], queue: QUEUE, queueOptions: { durable: true } };
  const start = async (isWorking: boolean): Promise<INestApplicationContext> => {
    @Module({
      imports: [
        TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: 25, synchronize: true }),
        SparkModule.forRoot({ worker: isWorking ? { concurrency: 1_000 } : false, history: false }),
        SparkRelayModule.forRoot({ source: '/bench' }),
        ClientsModule.register([{ name: 'BUS', transport: Transport.RMQ, options }]),
      ],
      providers: [sender, Counting],
    })
    class App {}
    return NestFactory.createApplicationContext(App, { logger: ['error', 'warn'] });
  };
  let idle: INestApplicationContext | undefined;
  let working: INestApplicationContext | undefined;
  const recorder = async () => (idle ??= await start(false));
  return {
    async reset() {
      await (await recorder()).get(DataSource).query('TRUNCATE spark_event, spark_delivery, spark_recheck');
      const connection = await connect(BROKER);
      const channel = await connection.createChannel();
      await channel.assertQueue(QUEUE, { durable: true });
      await channel.purgeQueue(QUEUE);
      await connection.close();
    },
    async fill(count) {
      const app = await recorder();
      const dataSource = app.get(DataSource);
      await app.get(SparkService).emit(sparkEvent('order_paid', 1, { order: 1, total: 4_900, currency: 'EUR' }));
      await dataSource.query(
        `WITH fresh AS (
           INSERT INTO spark_event (event_key, event_group, context, depth, recorded_at)
           SELECT 'order_paid_' || n, event_group, context, depth, recorded_at
           FROM spark_event CROSS JOIN generate_series(2, $1::int) n RETURNING id)
         INSERT INTO spark_delivery (event_id, handler, state, attempt, priority, suspect, due_at)
         SELECT id, 'out', 'available', 0, 0, 0, 0 FROM fresh`,
        [count],
      );
      for (const table of ['spark_event', 'spark_delivery']) await dataSource.query(`VACUUM ANALYZE ${table}`);
    },
    async work(handled) {
      report = handled;
      working = await start(true);
    },
    add: () => Promise.reject(new Error('only a backlog is measured')),
    async close() {
      await working?.close();
      await idle?.close();
    },
  };
}
