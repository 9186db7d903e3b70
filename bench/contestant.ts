import { Injectable, type INestApplicationContext, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { GroupHandler, type SparkEvent, SparkModule } from 'nestjs-spark';
import { DataSource } from 'typeorm';
import { OneEvent, Order, order } from './entities.js';
import { arms } from './peers/index.js';

/** An application that saves orders and has each of them handled, in the same process or in another one. */
export interface Contestant {
  /** Saves an order and enqueues what handles it. Resolves with its id once that has committed. */
  save(): Promise<number>;
  close(): Promise<void>;
}

const CONNECTIONS = 25;

/** Starts one. Where it works, `handled` is called with the id of each order. */
export async function contestant(
  name: string,
  url: string,
  isWorking: boolean,
  handled: (id: number) => void,
): Promise<Contestant> {
  if (name === 'spark') return withSpark(url, isWorking, handled);
  const dataSource = await new DataSource({
    type: 'postgres',
    url,
    poolSize: CONNECTIONS,
    entities: [Order],
  }).initialize();
  const peer = await arms[name]!(url);
  if (isWorking) await peer.work(handled);
  const enqueuesInTransaction = name !== 'BullMQ';
  return {
    async save() {
      if (enqueuesInTransaction)
        return dataSource.transaction(async (manager) => {
          const { id } = await manager.save(order());
          await peer.add(id, await manager.queryRunner!.connect());
          return id;
        });
      const { id } = await dataSource.manager.save(order());
      await peer.add(id);
      return id;
    },
    async close() {
      await peer.close();
      await dataSource.destroy();
    },
  };
}

async function withSpark(url: string, isWorking: boolean, handled: (id: number) => void): Promise<Contestant> {
  @Injectable()
  class Handler {
    @GroupHandler(/^order/, { name: 'orders' })
    async handle({ key }: SparkEvent) {
      handled(Number(key.slice(key.lastIndexOf('_') + 1)));
    }
  }
  const app = await start(url, isWorking, Handler);
  const dataSource = app.get(DataSource);
  return {
    save: async () => (await dataSource.manager.save(order())).id,
    close: () => app.close(),
  };
}

function start(url: string, isWorking: boolean, handler: Type): Promise<INestApplicationContext> {
  @Module({
    imports: [
      TypeOrmModule.forRoot({ type: 'postgres', url, poolSize: CONNECTIONS, entities: [Order], synchronize: true }),
      SparkModule.forRoot({ worker: isWorking ? { concurrency: 1_000 } : false, history: false }),
    ],
    providers: [OneEvent, handler],
  })
  class App {}
  return NestFactory.createApplicationContext(App, { logger: ['error', 'warn'] });
}
