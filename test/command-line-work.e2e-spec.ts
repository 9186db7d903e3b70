import { Injectable } from '@nestjs/common';
import { EventSource, GroupHandler, sparkEvent } from 'nestjs-spark';
import { TestClock } from 'nestjs-spark/testing';
import { setTimeout as delay } from 'node:timers/promises';
import { Column, Entity, PrimaryColumn } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startApp, type TestApp } from './support/app.js';
import { applicationText, type CommandLine, commandLine, type RunningCommand } from './support/command-line.js';
import { databases, type TestDatabase } from './support/databases.js';

@Entity({ name: 'ticket' })
class Ticket {
  @PrimaryColumn() id: number;
  @Column() state: string;
}

/** It records for the handlers of the application, and handles nothing. */
@Injectable()
class Recording {
  @EventSource(Ticket, { name: 'tickets' }) async tickets() {
    return [];
  }
  @GroupHandler(/^ticket/, { name: 'mails' }) mail() {}
}

const APPLICATION = {
  entity: 'Ticket',
  members: `
  async tickets({ id, state }) { return [sparkEvent('ticket_' + state, id)]; }
  async mail({ group, key }, { signal }) {
    console.log('BEGAN ' + key);
    if (group === 'ticket_failing') throw new Error('No answer');
    if (group === 'ticket_slow') await new Promise((fulfil) => setTimeout(fulfil, 200));
    if (group === 'ticket_stuck' && !process.env.FREED)
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    console.log('ENDED ' + key);
  }
  letter() {}
  job() { console.log('RAN job'); }`,
  decorators: {
    tickets: `EventSource(Ticket, { name: 'tickets' })`,
    mail: `GroupHandler(/^ticket/, { name: 'mails', backoff: { base: '1h', max: '1h' } })`,
    letter: `GroupHandler(/^letter/, { name: 'letters' })`,
    job: 'Timeout(1)',
  },
  spark: `autoStart: false, shutdownTimeout: 1_000`,
};

let cli: CommandLine;
beforeAll(async () => {
  cli = await commandLine();
});
afterAll(() => cli.remove());

/** Waits until a command has said all of the texts. */
async function said({ process, ended }: RunningCommand, ...texts: string[]): Promise<void> {
  let all = '';
  for (const stream of [process.stdout, process.stderr]) stream.on('data', (text) => (all += text));
  const isOver = ended.then(() => true);
  while (!texts.every((text) => all.includes(text))) if (await Promise.race([isOver, delay(10, false)])) break;
  expect(all).toEqual(expect.stringContaining(texts.at(-1)!));
}

const started = async (database: TestDatabase): Promise<TestApp> => {
  const clock = new TestClock(new Date());
  return startApp({ database, entities: [Ticket], providers: [Recording], clock });
};

describe.each(databases)('the command line works, on $name', { timeout: 120_000 }, (database) => {
  let db: TestDatabase;
  let app: TestApp;
  let file: string;

  beforeAll(async () => {
    db = await database.create();
    app = await started(db);
    file = cli.write(`${database.name}.mjs`, applicationText('esm', db, APPLICATION));
  });
  afterAll(async () => {
    await app.close();
    await db.drop();
  });

  const emit = (...groups: string[]) => app.spark.emit(groups.map((group) => sparkEvent(group, 1)));
  const stateOf = async (group: string) => {
    const [delivery] = (await app.spark.deliveries({ group })).records;
    return delivery && { state: delivery.state, attempt: delivery.attempt };
  };

  it('until a signal: running handlers end, and the deliveries of those that do not are given back', async () => {
    await emit('ticket_slow', 'ticket_stuck');
    const command = cli.start(['work', '-m', file]);
    await said(command, 'RAN job', 'BEGAN ticket_slow_1', 'BEGAN ticket_stuck_1');
    command.process.kill('SIGTERM');
    const { code, stdout, stderr } = await command.ended;
    expect({ code, stderr: stderr.split('\n')[0] }).toEqual({
      code: 0,
      stderr: 'Running handlers may end. A second signal ends the process at once.',
    });
    expect(stdout).toContain('ENDED ticket_slow_1');
    expect(await stateOf('ticket_slow')).toEqual({ state: 'completed', attempt: 1 });
    expect(await stateOf('ticket_stuck')).toEqual({ state: 'available', attempt: 0 });
    expect(await app.spark.workers()).toEqual([]);
  });

  it('until nothing is due, with --drain: rechecks and deliveries, and nothing else', async () => {
    await emit('ticket_failing');
    // The source of this process waits, so that a recheck runs it.
    await app.dataSource.manager.save(Ticket, { id: 5, state: 'saved' });
    const { code, stdout, stderr, json } = await cli.run(['work', '--drain', '--json', '-m', file], { FREED: '1' });
    expect({ code, lines: stdout.trim().split('\n').length }).toEqual({ code: 0, lines: 1 });
    expect(json).toEqual([{ events: 1, completed: 2, failed: 1, discarded: 0, skipped: 0 }]);
    expect(stderr).toContain('ENDED ticket_saved_5');
    expect(stderr).not.toContain('RAN job');
    expect(await stateOf('ticket_stuck')).toEqual({ state: 'completed', attempt: 1 });
    expect(await stateOf('ticket_failing')).toEqual({ state: 'available', attempt: 1 });
  });

  it('SIGINT ends --drain with 130, and what is running is given back', async () => {
    await app.spark.emit(sparkEvent('ticket_stuck', 2));
    const command = cli.start(['work', '--drain', '-m', file]);
    await said(command, 'BEGAN ticket_stuck_2');
    command.process.kill('SIGINT');
    const { code, stdout, stderr } = await command.ended;
    expect({ code, stdout }).toEqual({ code: 130, stdout: '' });
    expect(stderr).toMatch(/^Interrupted\.$/m);
    // It has run for long enough.
    expect(stderr).not.toContain('RAN job');
    expect((await app.spark.deliveries({ key: 'ticket_stuck_2' })).records).toMatchObject([
      { state: 'available', attempt: 0 },
    ]);
  });
});

describe('the command line works', { timeout: 120_000 }, () => {
  it('not with a module that would handle nothing; --drain handles there, too, and its handlers are known from then on', async () => {
    const db = await databases[0]!.create();
    const app = await started(db);
    const file = cli.write('recording.mjs', applicationText('esm', db, { ...APPLICATION, spark: 'worker: false' }));
    await app.spark.emit(sparkEvent('ticket_open', 1));
    const working = await cli.run(['work', '-m', file, '--json']);
    expect(working.code).toBe(2);
    expect(working.stderr).toMatch(/^This process would handle no deliveries: .* `worker: false` here/m);
    // Its log lines are JSON.
    expect(working.json[0]).toMatchObject({ level: 'log', message: expect.any(String) });
    await app.dataSource.query(`DELETE FROM spark_handler WHERE name = 'letters'`);
    const drained = await cli.run(['work', '--drain', '-m', file]);
    expect(drained).toMatchObject({ code: 0, stdout: expect.stringMatching(/^events +0\ncompleted +1\nfailed +0\n/) });
    expect(await app.dataSource.query(`SELECT name FROM spark_handler WHERE name = 'letters'`)).toHaveLength(1);
    await app.close();
    await db.drop();
  });
});
