import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-node';
import { EventSource, GroupHandler, type HandlerScope, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { SparkTelemetryModule } from 'nestjs-spark/otel';
import { DataSource, Entity, ManyToOne, OneToMany, PrimaryColumn, type Relation } from 'typeorm';
import { startApp } from './app.js';
import { sqliteDriver } from './sqlite.js';
import { Tracing } from './tracing.js';

// Before the driver is loaded.
const tracing = new Tracing();
registerInstrumentations({ instrumentations: [new PgInstrumentation()] });

@Entity()
class Order {
  @PrimaryColumn() id: number;
  @OneToMany(() => Line, ({ order }) => order) lines: Relation<Line>[];
}

@Entity()
class Line {
  @PrimaryColumn() id: number;
  @ManyToOne(() => Order, ({ lines }) => lines) order: Relation<Order>;
}

@Injectable()
class Shop {
  @EventSource(Order, { name: 'own' }) *own({ id }: Order) {
    yield sparkEvent('order', id);
  }
  @EventSource(Order, { name: 'lines', relations: { lines: true } }) *lines({ id }: Order) {
    yield sparkEvent('lines', id);
  }
}

@Injectable()
class Handlers {
  constructor(private readonly dataSource: DataSource) {}

  @GroupHandler(/^order$/, { name: 'plain' }) async plain({ key }: SparkEvent) {
    await delay(20);
    await this.dataSource.query(`SELECT 'plain ${key}'`);
  }
  @GroupHandler(/^order$/, { name: 'transactional', transactional: true })
  async transactional({ key }: SparkEvent, { manager }: HandlerScope) {
    await manager.query(`SELECT 'transactional ${key}'`);
  }
}

/** A process that saves an order in a request, or that handles what others have saved. It sends its spans. */
async function main(): Promise<void> {
  const { options, driver, saves, parent } = JSON.parse(process.argv[2]!);
  const database = { options: driver ? { ...options, driver: sqliteDriver() } : options, drop: async () => undefined };
  const app = await startApp({
    database,
    entities: [Order, Line],
    providers: [Shop, Handlers],
    imports: [SparkTelemetryModule.forRoot({ parent })],
    spark: { worker: saves ? false : { pollInterval: '50ms' } },
  });
  // Notifications are sent from then on.
  const isNotifying = () => options.type !== 'postgres' || statements('pg_notify').length > 0;
  while (!isNotifying()) await delay(50);
  const request = saves ? await tracing.request(() => app.dataSource.manager.save(Order, { id: 1 })) : undefined;
  const isDone = async () => {
    if (saves) return (await app.spark.events({ group: 'lines' })).records.length === 1;
    return (await app.spark.deliveries({ state: 'completed' })).records.length === 2;
  };
  while (!(await isDone())) await delay(50);
  await app.close();
  const spans = tracing.spans().map((span) => ({
    name: span.name,
    ...idsOf(span.spanContext()),
    parent: span.parentSpanContext && idsOf(span.parentSpanContext),
    links: span.links.map(({ context }) => idsOf(context)),
    statement: statementOf(span),
  }));
  process.send!({ request: request && idsOf(request), spans }, () => process.disconnect());
}

const statementOf = ({ attributes }: ReadableSpan) => attributes['db.statement'] ?? attributes['db.query.text'];
const statements = (text: string) => tracing.spans().filter((span) => String(statementOf(span)).includes(text));
const idsOf = ({ traceId, spanId }: { traceId: string; spanId: string }) => ({ traceId, spanId });

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
