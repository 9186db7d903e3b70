import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { GroupHandler, type HandlerScope, type SparkEvent } from 'nestjs-spark';
import { BullMQCarrier } from 'nestjs-spark-bullmq';
import { setTimeout as delay } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { handleUntilMessage } from './handling-process.js';

/** Records each call in a table of its own, and does what the event's group says. */
@Injectable()
class Handlers {
  constructor(private readonly dataSource: DataSource) {}

  @GroupHandler(/./, { name: 'worker', maxAttempts: 3 })
  async handle({ key, group }: SparkEvent, { attempt }: HandlerScope) {
    await this.dataSource.query(`INSERT INTO calls (name, pid, attempt) VALUES ('${key}', ${process.pid}, ${attempt})`);
    process.send?.({ called: key });
    if (group === 'poison') process.kill(process.pid, 'SIGKILL');
    if (group === 'slow') await delay(700);
    if (group === 'stuck' && attempt === 1) await delay(3_000);
  }
}

const { bullmq, ...database } = JSON.parse(process.argv[2]!);
const worker = bullmq ? { carrier: new BullMQCarrier(bullmq) } : {};
handleUntilMessage(database, { entities: [], providers: [Handlers], worker });
