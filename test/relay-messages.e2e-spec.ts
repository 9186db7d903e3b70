import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { ClientsModule, Transport } from '@nestjs/microservices';
import { connectAsync, type IPublishPacket } from 'mqtt';
import { sparkEvent } from 'nestjs-spark';
import { Relay, SparkRelayModule } from 'nestjs-spark/microservices';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, inject, it } from 'vitest';
import { startApp } from './support/app.js';
import { testQueue } from './support/rabbitmq.js';
import { inMemory } from './support/refusal.js';

const imports = [SparkRelayModule.forRoot({ source: '/shop' })];
const expected = { specversion: '1.0', id: 'order_paid_1', source: '/shop', type: 'order_paid', data: { total: 5 } };

@Relay(/^order/, { name: 'orders', client: 'BUS' })
@Injectable()
class OrderRelay {}

describe.skipIf(!inject('rabbitmq'))('on RabbitMQ', () => {
  it('a message is persistent, though the client is not, and has the id of the event and a pattern for Nest', async () => {
    const queue = await testQueue();
    const options = { urls: [inject('rabbitmq')!], queue: queue.name, queueOptions: { durable: true } };
    const bus = ClientsModule.register([{ name: 'BUS', transport: Transport.RMQ, options }]);
    const app = await startApp({
      database: inMemory(),
      entities: [],
      imports: [...imports, bus],
      providers: [OrderRelay],
    });
    await app.spark.emit(sparkEvent('order_paid', 1, { total: 5 }));
    await queue.arrived(['order_paid_1']);
    const [message] = queue.messages;
    expect(JSON.parse(message!.content.toString())).toMatchObject({ pattern: 'order_paid', data: expected });
    expect(message!.properties).toMatchObject({
      deliveryMode: 2,
      messageId: 'order_paid_1',
      type: 'order_paid',
      contentType: 'application/json',
    });
    await app.close();
    await queue.remove();
  });
});

describe.skipIf(!inject('rabbitmq'))('on RabbitMQ, where a message is confirmed that no queue takes', () => {
  it('an event whose queue is gone has failed, and arrives when it is there again', async () => {
    const queue = await testQueue();
    const options = { urls: [inject('rabbitmq')!], queue: queue.name, queueOptions: { durable: true } };
    const bus = ClientsModule.register([{ name: 'BUS', transport: Transport.RMQ, options }]);
    @Relay(/^order/, { name: 'orders', client: 'BUS', backoff: () => '300ms' })
    @Injectable()
    class Retrying {}
    const app = await startApp({
      database: inMemory(),
      entities: [],
      imports: [...imports, bus],
      providers: [Retrying],
    });
    await app.spark.emit(sparkEvent('order_paid', 1));
    await queue.arrived(['order_paid_1']);
    await queue.remove();
    await app.spark.emit(sparkEvent('order_paid', 2));
    let failed: string | undefined;
    for (let i = 0; i < 200 && !failed; i++) {
      await delay(25);
      failed = (await app.spark.deliveries({ state: 'available' })).records[0]?.error;
    }
    expect(failed).toContain('no queue takes the message');
    const again = await testQueue(queue.name);
    await again.arrived(['order_paid_2']);
    await app.close();
    await again.remove();
  });
});

describe.skipIf(!inject('mqtt'))('on MQTT', () => {
  it('a message is sent with QoS 1, so that the broker acknowledges it', async () => {
    const topic = `spark-test/${randomBytes(6).toString('hex')}`;
    const consumer = await connectAsync(inject('mqtt')!);
    const arrived: { payload: string; qos: IPublishPacket['qos'] }[] = [];
    consumer.on('message', (_, payload, { qos }) => arrived.push({ payload: payload.toString(), qos }));
    await consumer.subscribeAsync(topic, { qos: 2 });

    @Relay(/^order/, { name: 'orders', client: 'BUS', pattern: () => topic })
    @Injectable()
    class ToTopic {}
    const bus = ClientsModule.register([{ name: 'BUS', transport: Transport.MQTT, options: { url: inject('mqtt')! } }]);
    const app = await startApp({
      database: inMemory(),
      entities: [],
      imports: [...imports, bus],
      providers: [ToTopic],
    });
    await app.spark.emit(sparkEvent('order_paid', 1, { total: 5 }));
    for (let i = 0; i < 200 && arrived.length === 0; i++) await delay(50);
    expect(arrived).toHaveLength(1);
    expect(arrived[0]!.qos).toBe(1);
    expect(JSON.parse(arrived[0]!.payload)).toMatchObject({ pattern: topic, data: expected });
    await app.close();
    await consumer.endAsync();
  });
});
