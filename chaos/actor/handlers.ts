import { Injectable } from '@nestjs/common';
import { GroupHandler, type HandlerScope, type SparkEvent } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { execute } from '../../libs/spark/src/dialect/statement.js';
import { Effect } from './entities.js';
import { FaultPoints } from './fault-points.js';
import { Journal } from './journal.js';

/** Which process this is, the first being 1. */
export class Life {
  constructor(readonly number: number) {}
}

const patient = { maxAttempts: 20, backoff: { base: 200, max: 2_000 } };

@Injectable()
export class Handlers {
  constructor(
    private readonly dataSource: DataSource,
    private readonly points: FaultPoints,
    private readonly journal: Journal,
    private readonly life: Life,
  ) {}

  /** Notes each call at once, outside of any transaction, as a mail that is sent is sent. */
  @GroupHandler(/^(item|family|outside|effect)/, { ...patient, name: 'plain' })
  async plain({ key }: SparkEvent, { attempt }: HandlerScope) {
    const call = 'INSERT INTO calls (event_key, life, attempt, called_at) VALUES (:key, :life, :attempt, :at)';
    await execute(this.dataSource.manager, call, { key, life: this.life.number, attempt, at: Date.now() });
    this.points.pass('in-handler');
    await delay(Math.random() < 0.1 ? 300 : Math.random() * 20);
  }

  @GroupHandler(/^item_(saved|due)/, { ...patient, name: 'effects', transactional: true })
  async effects({ key }: SparkEvent, { manager }: HandlerScope) {
    await manager.save(Effect, { eventKey: key });
    this.points.pass('in-transactional-handler');
    await delay(Math.random() * 5);
  }

  @GroupHandler(/^poison/, { name: 'poison', maxAttempts: 3 })
  poison() {
    this.journal.note({ kind: 'poison' });
    process.kill(process.pid, 'SIGKILL');
  }
}
