import { Injectable } from '@nestjs/common';
import { GroupHandler, type HandlerScope, type SparkEvent } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { DataSource } from 'typeorm';
import { execute } from '../../libs/spark/src/database/statement.js';
import { LIMITS } from '../faults.js';
import { Badge, Effect, Family } from './entities.js';
import { FaultPoints } from './fault-points.js';
import { Journal } from './journal.js';

/** Which process this is, the first being 1. */
export class Life {
  constructor(readonly number: number) {}
}

const patient = { maxAttempts: 20, backoff: { base: 200, max: 2_000 } };

/** What handlers of both versions do. */
@Injectable()
export class Work {
  constructor(
    private readonly dataSource: DataSource,
    private readonly points: FaultPoints,
    private readonly life: Life,
  ) {}

  /** Records each call at once, outside of any transaction, as a mail that is sent is sent. */
  async plain({ key }: SparkEvent, { attempt }: HandlerScope) {
    const call = 'INSERT INTO calls (event_key, life, attempt, called_at) VALUES (:key, :life, :attempt, :at)';
    await execute(this.dataSource.manager, call, { key, life: this.life.number, attempt, at: Date.now() });
    this.points.pass('in-handler');
    await delay(Math.random() < 0.1 ? 300 : Math.random() * 20);
  }

  async effects({ key }: SparkEvent, { manager }: HandlerScope) {
    await manager.save(Effect, { eventKey: key });
    this.points.pass('in-transactional-handler');
    await delay(Math.random() * 5);
  }
}

/** Those that are the same in both versions. */
@Injectable()
export class Handlers {
  constructor(private readonly journal: Journal) {}

  /** Gets what the former version does not know, there as well. Relations are those of the event's source, whatever its name. */
  @GroupHandler(/^(family|badge)/, { ...patient, name: 'entities' })
  entities({ key, context }: SparkEvent<{ family?: Family; badge?: Badge }>) {
    if (!context.badge && !context.family?.children) throw new Error(`${key} comes without what it is about`);
  }

  /** All processes together may call it only so often. */
  @GroupHandler(/^item_(saved|due)/, { ...patient, name: 'rated', rateLimit: LIMITS.rate })
  rated({ key }: SparkEvent) {
    this.journal.record({ kind: 'rated', key });
  }

  /** All processes together may only handle so many at once. */
  @GroupHandler(/^(outside|family)/, { ...patient, name: 'shared', fleetConcurrency: LIMITS.concurrency })
  async shared({ key }: SparkEvent, { signal }: HandlerScope) {
    this.journal.record({ kind: 'shared', key });
    try {
      await delay(Math.random() * 150, undefined, { signal });
    } finally {
      this.journal.record({ kind: 'shared-end', key });
    }
  }

  @GroupHandler(/^poison/, { name: 'poison', maxAttempts: 3 })
  poison() {
    this.journal.record({ kind: 'poison' });
    process.kill(process.pid, 'SIGKILL');
  }
}

@Injectable()
export class FormerHandlers {
  constructor(private readonly work: Work) {}

  @GroupHandler(/^(item|family|outside|effect)/, { ...patient, name: 'plain' })
  plain(event: SparkEvent, scope: HandlerScope) {
    return this.work.plain(event, scope);
  }

  @GroupHandler(/^item_saved/, { ...patient, name: 'effects', transactional: true })
  effects(event: SparkEvent, scope: HandlerScope) {
    return this.work.effects(event, scope);
  }
}

/** One of them under a new name, both for more groups, and one that is new. */
@Injectable()
export class NextHandlers {
  constructor(private readonly work: Work) {}

  @GroupHandler(/^(item|family|outside|effect|badge)/, { ...patient, name: 'next-plain', aliases: ['plain'] })
  plain(event: SparkEvent, scope: HandlerScope) {
    return this.work.plain(event, scope);
  }

  @GroupHandler(/^item_(saved|due)/, { ...patient, name: 'effects', transactional: true })
  effects(event: SparkEvent, scope: HandlerScope) {
    return this.work.effects(event, scope);
  }

  @GroupHandler(/^badge/, { ...patient, name: 'badges' })
  badges({ key, context }: SparkEvent<{ badge: Badge }>) {
    if (!context.badge.giver) throw new Error(`${key} comes without its badge`);
  }
}
