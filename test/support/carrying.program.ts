import 'reflect-metadata';
import { Injectable } from '@nestjs/common';
import { GroupHandler, type SparkEvent } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { handleUntilMessage } from './handling-process.js';
import { MemoryCarrier, MemoryQueue } from './memory-carrier.js';

/** Says that it is called, and never ends. */
@Injectable()
class Handlers {
  @GroupHandler(/^mail/, { name: 'mails' })
  async handle({ key }: SparkEvent) {
    process.send?.({ called: key });
    await delay(600_000);
  }
}

const worker = { carrier: new MemoryCarrier(new MemoryQueue()) };
handleUntilMessage(JSON.parse(process.argv[2]!), { entities: [], providers: [Handlers], worker });
