import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type ConsumeMessage } from 'amqplib';
import type { CloudEvent } from 'nestjs-spark/microservices';
import { inject } from 'vitest';

/** A queue of a test's own on RabbitMQ, and what arrives in it. */
export interface TestQueue {
  readonly name: string;
  readonly messages: ConsumeMessage[];
  /** The events that have arrived, in their order. */
  events(): CloudEvent[];
  /** Resolves when events with all of these ids have arrived. */
  arrived(ids: readonly string[], seconds?: number): Promise<void>;
  remove(): Promise<void>;
}

/** Makes a queue and consumes it. */
export async function testQueue(name = inject('prefix') + randomBytes(6).toString('hex')): Promise<TestQueue> {
  const connection = await connect(inject('rabbitmq')!);
  const channel = await connection.createChannel();
  await channel.assertQueue(name, { durable: true });
  const messages: ConsumeMessage[] = [];
  await channel.consume(name, (message) => {
    // There is none when the queue is gone.
    if (!message) return;
    messages.push(message);
    channel.ack(message);
  });
  const events = () => messages.map(({ content }) => JSON.parse(content.toString()).data as CloudEvent);
  return {
    name,
    messages,
    events,
    arrived: (ids, seconds = 40) => arrived(events, ids, seconds),
    remove: async () => {
      await channel.deleteQueue(name);
      await connection.close();
    },
  };
}

/** Resolves when events with all of these ids are there. Rejects with those that are not after so many seconds. */
export async function arrived(events: () => CloudEvent[], ids: readonly string[], seconds: number): Promise<void> {
  let missing: string[] = [];
  for (let i = 0; i < seconds * 20; i++) {
    const there = new Set(events().map(({ id }) => id));
    missing = ids.filter((id) => !there.has(id));
    if (missing.length === 0) return;
    await delay(50);
  }
  throw new Error(`${missing.length} of ${ids.length} events have not arrived: ${missing.slice(0, 5).join(', ')} …`);
}
