import { Injectable } from '@nestjs/common';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { AlwaysOffSampler, type ReadableSpan } from '@opentelemetry/sdk-trace-node';
import {
  BatchError,
  EventSource,
  GroupHandler,
  type HandlerScope,
  InvalidOptionsError,
  RetryLater,
  sparkEvent,
  type SparkEvent,
} from 'nestjs-spark';
import { SparkTelemetryModule, type SparkTelemetryOptions } from 'nestjs-spark/otel';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, DataSource, Entity, ManyToOne, OneToMany, PrimaryColumn, type Relation } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';
import { Tracing } from './support/tracing.js';

@Entity()
class Order {
  @PrimaryColumn() id: number;
  @Column({ default: '' }) note: string;
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

class OutOfPaper extends Error {}

let handle: (event: SparkEvent, scope: HandlerScope) => unknown = () => undefined;

@Injectable()
class Handlers {
  constructor(private readonly dataSource: DataSource) {}

  @GroupHandler(/^(order|plain)$/, { name: 'mails', maxAttempts: 5, backoff: { base: '1s', max: '1s' } })
  async mails(event: SparkEvent, scope: HandlerScope) {
    await handle(event, scope);
  }
  @GroupHandler(/^lines$/, { name: 'books', transactional: true }) async books(
    { key }: SparkEvent,
    scope: HandlerScope,
  ) {
    await scope.manager.update(Order, 1, { note: key });
  }
  @GroupHandler(/^many/, { name: 'many', batch: { max: 10 } }) many(events: SparkEvent[]) {
    if (events.length > 1) throw new BatchError(events.slice(1));
  }
  @GroupHandler(/^follow$/, { name: 'follow' }) async follow() {
    await this.dataSource.manager.save(Order, { id: 77 });
  }
}

const GIVEN = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331' };
const traceparent = `00-${GIVEN.traceId}-${GIVEN.spanId}-01`;
const idsOf = (span: ReadableSpan) => {
  const { traceId, spanId } = span.spanContext();
  return { traceId, spanId };
};
const linksOf = ({ links }: ReadableSpan) => links.map(({ context: { traceId, spanId } }) => ({ traceId, spanId }));

describe.each(databases)('spans of events and handlers, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let tracing: Tracing | undefined;

  beforeEach(async () => {
    db = await database.create();
    tracing = new Tracing();
    handle = () => undefined;
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
    await tracing?.end();
  });

  const start = async (options?: SparkTelemetryOptions) => {
    app = await startApp({
      database: db,
      entities: [Order, Line],
      providers: [Shop, Handlers],
      imports: [SparkTelemetryModule.forRoot(options)],
      clock: new TestClock('2026-03-01T10:00:00Z'),
    });
  };
  const save = (...ids: number[]) =>
    app.dataSource.manager.save(
      Order,
      ids.map((id) => ({ id })),
    );
  const named = (name: string) => {
    const spans = tracing!.spans(name);
    expect(spans.map((span) => span.name)).toEqual([name]);
    return spans[0]!;
  };
  const metadata = async (key: string) => (await app.spark.events({ key })).records[0]?.metadata;

  it('a call with many events is one span, which is linked to each of them', async () => {
    await start({ parent: true });
    await tracing!.request(() => app.spark.emit([1, 2].map((id) => sparkEvent('many', id))));
    await app.spark.drain();
    const process = named('process many');
    expect(process.parentSpanContext).toBeUndefined();
    expect(linksOf(process)).toEqual(tracing!.spans('enter many').map(idsOf));
    expect(process.links.map(({ attributes }) => attributes)).toEqual(
      ['many_1', 'many_2'].map((key) => ({
        'messaging.message.id': key,
        'spark.attempt': 1,
        'spark.delivery.id': expect.any(String),
      })),
    );
    expect(process.status.code).toBe(SpanStatusCode.ERROR);
    expect(process.attributes).toEqual({
      'messaging.system': 'spark',
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'messaging.destination.name': 'many',
      'messaging.consumer.group.name': 'many',
      'messaging.batch.message_count': 2,
      'error.type': 'BatchError',
    });
  });

  it('a save enters within the trace of its request, and the handler is linked to that', async () => {
    await start();
    const request = await tracing!.request(() => save(1));
    const enter = named('enter order');
    expect(enter).toMatchObject({ kind: SpanKind.PRODUCER, parentSpanContext: request, links: [] });
    expect(enter.attributes).toEqual({
      'messaging.system': 'spark',
      'messaging.operation.name': 'enter',
      'messaging.operation.type': 'create',
      'messaging.destination.name': 'order',
      'messaging.message.id': 'order_1',
    });
    const { traceId, spanId } = enter.spanContext();
    expect(await metadata('order_1')).toEqual({ traceparent: `00-${traceId}-${spanId}-01` });

    await app.spark.drain();
    const process = named('process mails');
    expect(process).toMatchObject({ kind: SpanKind.CONSUMER, parentSpanContext: undefined });
    expect(process.spanContext().traceId).not.toBe(traceId);
    expect(linksOf(process)).toEqual([{ traceId, spanId }]);
    expect(process.attributes).toEqual({
      'messaging.system': 'spark',
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'messaging.destination.name': 'order',
      'messaging.consumer.group.name': 'mails',
      'messaging.message.id': 'order_1',
      'spark.attempt': 1,
      'spark.delivery.id': expect.any(String),
    });
  });

  it('with parent, the handler continues the trace', async () => {
    await start({ parent: true });
    const request = await tracing!.request(() => save(1));
    await app.spark.drain();
    const [enter, process] = [named('enter order'), named('process mails')];
    expect(process.spanContext().traceId).toBe(request.traceId);
    expect(process.parentSpanContext).toMatchObject({ ...idsOf(enter), isRemote: true });
    expect(process.links).toEqual([]);
  });

  it('the work of Spark itself never joins the trace of a save', async () => {
    await start({ parent: true });
    const request = await tracing!.request(async () => {
      await save(1);
      await app.spark.drain();
    });
    // What a recheck enters after the commit begins a trace of its own, and so does its handler.
    const [enter, process] = [named('enter lines'), named('process books')];
    expect(enter.parentSpanContext).toBeUndefined();
    expect(enter.spanContext().traceId).not.toBe(request.traceId);
    expect(process.parentSpanContext?.spanId).toBe(enter.spanContext().spanId);
    await app.spark.forget({ all: true });
    tracing!.clear();
    await tracing!.request(() => app.spark.sweep());
    for (const { parentSpanContext } of tracing!.spans('enter')) expect(parentSpanContext).toBeUndefined();
    expect(tracing!.spans('enter')).toHaveLength(2);
  });

  it('nor that of a span in which the application was created', async () => {
    await tracing!.request(() => start({ parent: true }));
    await save(1);
    await app.spark.drain();
    const [request] = tracing!.spans('request');
    const own = tracing!.spans().filter(({ name }) => name !== 'request');
    expect(own).toHaveLength(4);
    for (const span of own) expect(span.spanContext().traceId).not.toBe(request!.spanContext().traceId);
    for (const span of tracing!.spans('enter')) expect(span.parentSpanContext).toBeUndefined();
  });

  it('there is a span for what is entered, and none for what is known or rolled back', async () => {
    await start();
    await save(1);
    tracing!.clear();
    await app.dataSource.manager.save(Order, { id: 1, note: 'again' });
    await app.spark.emit(sparkEvent('order', 1));
    await app.dataSource.manager
      .transaction(async (manager) => {
        await manager.save(Order, { id: 2 });
        await app.spark.emit(sparkEvent('plain', 2), { manager });
        throw new Error('rolled back');
      })
      .catch(() => undefined);
    expect(tracing!.spans('enter order')).toEqual([]);
    await app.dataSource.manager.transaction((manager) => app.spark.emit(sparkEvent('plain', 2), { manager }));
    expect(named('enter plain').attributes['messaging.message.id']).toBe('plain_2');
  });

  it('each span of events that were entered together says how many they are', async () => {
    await start();
    await app.spark.emit([1, 2, 3].map((id) => sparkEvent('plain', id)));
    expect(tracing!.spans('enter').map(({ attributes: a }) => a['messaging.batch.message_count'])).toEqual([3, 3, 3]);
    expect(new Set(tracing!.spans('enter').map(({ attributes: a }) => a['messaging.message.id'])).size).toBe(3);
  });

  it('each attempt has a span, which says why it failed', async () => {
    await start();
    handle = (_, { attempt }) => {
      if (attempt === 1) throw new OutOfPaper('at printer 7');
    };
    await app.spark.emit(sparkEvent('plain', 1));
    await app.spark.drain();
    await new SparkTestKit(app.app).advance('5s');
    const [first, second] = tracing!.spans('process mails');
    expect(first).toMatchObject({
      status: { code: SpanStatusCode.ERROR },
      attributes: { 'error.type': 'OutOfPaper', 'spark.attempt': 1 },
      events: [{ name: 'exception', attributes: { 'exception.message': 'at printer 7' } }],
    });
    expect(second).toMatchObject({ status: { code: SpanStatusCode.UNSET }, attributes: { 'spark.attempt': 2 } });
    expect(second!.attributes).not.toHaveProperty('error.type');
    expect(linksOf(first!)).toEqual([idsOf(named('enter plain'))]);
    expect(linksOf(second!)).toEqual(linksOf(first!));
  });

  it('a handler that asks to be called later has not failed', async () => {
    await start();
    handle = () => {
      throw new RetryLater('1m');
    };
    await app.spark.emit(sparkEvent('plain', 1));
    await app.spark.drain();
    expect(named('process mails')).toMatchObject({
      status: { code: SpanStatusCode.UNSET },
      events: [{ name: 'retry later', attributes: { 'spark.delay': 60_000 } }],
    });
  });

  it('what a handler saves is part of its span, and leads to the next one', async () => {
    await start();
    await app.spark.emit(sparkEvent('follow', 1));
    await app.spark.drain();
    const [follow, enter] = [named('process follow'), named('enter order')];
    expect(enter.parentSpanContext).toMatchObject(idsOf(follow));
    expect(linksOf(named('process mails'))).toEqual([idsOf(enter)]);
  });

  it('a trace that an event comes with is kept, and what is no trace harms nothing', async () => {
    await start();
    await app.spark.emit([
      sparkEvent('plain', 1, {}, { metadata: { traceparent } }),
      sparkEvent('order', 2, {}, { metadata: { traceparent: 'of the parcel' } }),
    ]);
    await app.spark.drain();
    expect(await metadata('plain_1')).toEqual({ traceparent });
    expect(linksOf(named('enter plain'))).toEqual([GIVEN]);
    const spans = new Map(tracing!.spans('process').map((span) => [span.attributes['messaging.message.id'], span]));
    expect(linksOf(spans.get('plain_1')!)).toEqual([GIVEN]);
    expect(linksOf(spans.get('order_2')!)).toEqual([]);
  });

  it('a trace that is not sampled is not sampled at the handler, either', async () => {
    await tracing!.end();
    const unsampled = new Tracing(new AlwaysOffSampler());
    await start({ parent: true });
    await app.spark.emit(sparkEvent('plain', 1));
    expect(await metadata('plain_1')).toEqual({ traceparent: expect.stringMatching(/^00-.*-00$/) });
    await unsampled.end();
    tracing = new Tracing();
    await app.spark.drain();
    expect((await app.spark.deliveries()).records[0]!.state).toBe('completed');
    expect(tracing.spans('process')).toEqual([]);
  });

  it('without an SDK, events and handlers are as without telemetry', async () => {
    await tracing!.end();
    tracing = undefined;
    await start();
    await save(1);
    await app.spark.drain();
    expect(await metadata('order_1')).toBeUndefined();
    expect((await app.spark.deliveries({ state: 'completed' })).records).toHaveLength(2);
  });
});

describe('options of the telemetry', () => {
  it.each([null, { parents: true }, { parent: 'yes' }, { parent: null }])('refuse %j', (options) => {
    expect(() => SparkTelemetryModule.forRoot(options as never)).toThrow(InvalidOptionsError);
  });
});
