import { readFile } from 'node:fs/promises';
import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent, SparkModule } from 'nestjs-spark';
import { SourceLintError, SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { blocksOf } from '../tools/docs/blocks.mjs';
import { startApp, type TestApp } from './support/app.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity()
class Challenge {
  @PrimaryColumn() id: number;
  @Column() isQuiet: boolean;
}

@Injectable()
class ChallengeEvents {
  @EventSource(Challenge)
  *events({ id, isQuiet }: Challenge) {
    yield sparkEvent('challenge_created', id);
    if (isQuiet) yield sparkEvent('challenge_inactivity_2d', id);
    yield sparkEvent('challenge_ended', id, undefined, { at: new Date('2026-06-03T12:00:00Z') });
  }
}

@Injectable()
class ChallengeMails {
  @GroupHandler(/^challenge_created$/, { name: 'challenge-mails', backoff: () => 7_310 })
  send() {
    throw new Error('connect ECONNREFUSED');
  }
}

@Entity()
class Task {
  @PrimaryColumn() id: number;
}

@Injectable()
class TaskEvents {
  @EventSource(Task)
  *events({ id }: Task, { now }: { now: Date }) {
    yield sparkEvent('task_due', id, undefined, { occurrence: now.toISOString().slice(0, 16) });
  }

  @EventSource(Task)
  *late({ id }: Task) {
    if (Date.now() > 0) yield sparkEvent('task_late', id);
  }
}

const page = (name: string) => readFile(`docs/${name}.md`, 'utf8');

/** The lines of the first block without a language under a heading. */
function outputAfter(heading: string, text: string): string[] {
  const block = blocksOf(text).find((one) => one.heading.startsWith(heading) && one.language === '');
  return block!.code.trimEnd().split('\n');
}

/** The names of the fields in a comment that says what `console.log` shows. */
function fieldsIn(text: string, variable: string): string[] {
  const [, shown] = new RegExp(`console\\.log\\(${variable}\\); // (.*)`).exec(text)!;
  return [...shown!.matchAll(/[{,] (\w+):/g)].map(([, name]) => name!);
}

// What is shown is the same on all databases.
describe.each(databases.filter(({ name }) => name === 'SQLite'))('what the documents show, on $name', (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let clock: TestClock;

  beforeEach(async () => {
    db = await database.create();
    clock = new TestClock('2026-06-01T12:00:00Z');
  });
  afterEach(async () => {
    await app.close();
    await db.drop();
  });

  const start = async (...providers: (new () => object)[]) => {
    const spark = SparkModule.forRoot({ activation: { limit: 1 } });
    app = await startApp({ database: db, entities: [Challenge, Task], providers, clock, spark });
  };

  it('of explain() is what it says', async () => {
    await start(ChallengeEvents, ChallengeMails);
    await app.dataSource.manager.save(Challenge, { id: 7, isQuiet: false });
    await app.spark.drain();
    await app.dataSource.query('UPDATE challenge SET isQuiet = 1');
    // The second try fails, too, at the same instant.
    await app.dataSource.query('UPDATE spark_delivery SET due_at = 0');
    await app.spark.drain();
    const { words } = await app.spark.explain(Challenge, 7);
    const shown = outputAfter('## `explain()`', await page('failures'));
    expect(words.toSorted()).toEqual(shown.toSorted());
  });

  it('of status() has the fields that it shows', async () => {
    await start(ChallengeEvents, ChallengeMails);
    await app.dataSource.query('INSERT INTO challenge (id, isQuiet) VALUES (1, 0), (2, 0)');
    await app.spark.sweep();
    const status = await app.spark.status();
    const text = await page('failures');
    for (const part of ['sources', 'handlers', 'held', 'rechecks', 'counts'] as const) {
      const fields = fieldsIn(text, part);
      expect(fields.length).toBeGreaterThan(1);
      const shown = [status[part]].flat()[0];
      for (const field of fields) expect(shown).toHaveProperty(field);
    }
  });

  it('of the linter begins as it shows', async () => {
    await start(TaskEvents);
    await app.dataSource.query('INSERT INTO task (id) VALUES (7)');
    const kit = new SparkTestKit(app.app);
    const error: SourceLintError = await kit.lint().catch((thrown) => thrown);
    expect(error).toBeInstanceOf(SourceLintError);
    const lines = error.message.split('\n').filter((line) => line.startsWith('- '));
    const shown = outputAfter('## The linter', await page('testing'));
    expect(lines).toHaveLength(shown.length);
    for (const [i, line] of shown.entries()) expect(lines[i]).toContain(line.replace(/ …$/, ''));
  });
});
