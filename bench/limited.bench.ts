import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import { Injectable, type Type } from '@nestjs/common';
import { GroupHandler, type HandlerScope, sparkEvent, type SparkEvent } from 'nestjs-spark';
import { application } from './application.js';
import { commitsDuring } from './commits.js';
import { figure, type Row } from './contest.js';
import { type DatabaseName, ownDatabase } from './database.js';
import { runBench } from './results.js';

const EVENTS = 400;
/** The time between two events, in milliseconds. */
const PACE = 20;
const HANDLERS = [1, 40];

/** What an event costs one process with one transactional handler, and with many of which one gets it. */
async function limited(db: DatabaseName): Promise<Row[]> {
  const arms: Record<string, number> = {};
  for (const count of HANDLERS) arms[`${count} handlers`] = Number((await commits(count)).toFixed(2));
  const [few, many] = HANDLERS.map((count) => `${count} handlers`) as [string, string];
  const median = arms[many]! / arms[few]!;
  const ratio = `${many} / ${few}`;
  return [figure({ bench: 'limited', work: 'commits an event', db, ratio, median, target: '≤ 1.3', arms })];
}

async function commits(count: number): Promise<number> {
  const { options, drop } = await ownDatabase('postgres');
  const { url } = options as { url: string };
  const handlers = Array.from({ length: count }, (_, i) => handler(i));
  const { spark, close } = await application('postgres', [], handlers, {}, [], options);
  const emit = async () => {
    for (let i = 0; i < EVENTS; i++) {
      await spark.emit(sparkEvent(`limited${i % count}`, i));
      await delay(PACE * (0.5 + Math.random()));
    }
  };
  const sent = await commitsDuring(url, emit);
  await close();
  await drop();
  return sent / EVENTS;
}

function handler(i: number): Type {
  @Injectable()
  class Limited {
    @GroupHandler(new RegExp(`^limited${i}$`), { name: `limited-${i}`, transactional: true })
    async handle(_event: SparkEvent, { manager }: HandlerScope) {
      await manager.query('SELECT 1');
    }
  }
  return Limited;
}

await runBench(['postgres'], limited);
