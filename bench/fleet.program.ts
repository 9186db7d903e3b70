import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { GroupHandler, sparkEvent } from 'nestjs-spark';
import { application } from './application.js';

/** What a process of the fleet is told to do: to start, to emit events at a pace, or to end. */
export type Order =
  { readonly start: true } | { readonly emit: number; readonly pace: number } | { readonly end: true };

/** What it says: that it has done what it was told, or how many deliveries it has handled since it last said so. */
export type Said = { readonly done: true } | { readonly handled: number };

let handled = 0;

@Injectable()
class Handlers {
  @GroupHandler(/^fleet/, { name: 'fleet' })
  async handle() {
    handled++;
  }
}

// A process of a fleet: all have the same handler.
const [url] = process.argv.slice(2) as [string];
// Few connections: a server has 100 of them by default. The handler needs none.
const options = { type: 'postgres', url, poolSize: 3 } as const;
const spec = { autoStart: false, worker: { concurrency: 10 } };
const { spark, close } = await application('postgres', [], [Handlers], spec, [], options);
const say = (said: Said) => process.send!(said);

async function emit(count: number, pace: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await spark.emit(sparkEvent('fleet', `${process.pid}-${performance.now()}`));
    await delay(pace * (0.5 + Math.random()));
  }
}

async function obey(order: Order): Promise<void> {
  if ('start' in order) await spark.start();
  if ('emit' in order) await emit(order.emit, order.pace);
  if ('end' in order) {
    await close();
    process.exit();
  }
  say({ done: true });
}

setInterval(() => {
  if (handled > 0) say({ handled });
  handled = 0;
}, 50);
process.on('message', (order: Order) => void obey(order));
// The bench ends it by a message.
process.on('SIGTERM', () => process.exit());
say({ done: true });
