import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { bundle } from '../tools/bundle.mjs';
import { until } from './support/carriers.js';
import { textOf } from './support/dashboard-app.js';
import { freePort } from './support/embedded-postgres.js';
import { createDatabase, dropDatabase } from './support/server.js';

const DAY = 86_400_000;

describe.skipIf(!inject('redis'))('the cluster of the demo', () => {
  const postgres = inject('postgres');
  const name = `${inject('prefix')}cluster`;
  const folder = mkdtempSync(join(inject('folder'), 'cluster-'));
  let program: Awaited<ReturnType<typeof bundle>>;
  let cluster: ChildProcess;
  let port: number;
  let url: string;
  let lines: string[];

  /** Starts it. Collects what it prints. */
  const start = (env: object) => {
    lines = [];
    cluster = spawn(process.execPath, [program.path], {
      env: { ...process.env, DATABASE_URL: url, REDIS_URL: redisUrl(), DATA: folder, PORT: String(port), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [cluster.stdout!, cluster.stderr!])
      createInterface(stream).on('line', (line) => lines.push(line));
  };
  /** A database of Redis of its own. */
  const redisUrl = () => `${inject('redis')!.replace(/\/$/, '')}/11`;
  const printed = (words: RegExp) => lines.filter((line) => words.test(line));
  const sees = (words: RegExp, times = 1) =>
    until(() => printed(words).length >= times, { seconds: 60, shown: () => lines.join('\n') });
  const api = async (path: string, body?: object) => {
    const post = { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
    const response = await fetch(`http://127.0.0.1:${port}/${path}`, body && post);
    return response.text();
  };
  const challenge = (title: string) => {
    const [startDate, endDate] = [new Date(), new Date(Date.now() + 9 * DAY)];
    return { title, ownerMail: 'ada@example.org', startDate, endDate };
  };

  beforeAll(async () => {
    program = await bundle(resolve(import.meta.dirname, '../apps/challenges/src/cluster/cluster.ts'), {
      isLinked: true,
    });
    url = await createDatabase(postgres, name);
    port = await freePort();
  }, 120_000);
  afterAll(async () => {
    cluster.kill('SIGKILL');
    program.remove();
    const redis = new Redis(redisUrl());
    await redis.flushdb();
    redis.disconnect();
    await dropDatabase(postgres, name);
  });

  it('says what to do if PostgreSQL or Redis does not answer', async () => {
    start({ REDIS_URL: 'redis://127.0.0.1:1' });
    expect(await once(cluster, 'exit')).toEqual([1, null]);
    expect(printed(/Redis at 127\.0\.0\.1:1 does not answer: .*ECONNREFUSED.*Start it/)).toHaveLength(1);

    start({ DATABASE_URL: 'postgres://me:secret@127.0.0.1:1/challenges' });
    expect(await once(cluster, 'exit')).toEqual([1, null]);
    expect(printed(/PostgreSQL at 127\.0\.0\.1:1 does not answer/)).toHaveLength(1);
    expect(printed(/secret/)).toEqual([]);
  }, 60_000);

  it('sends each mail once, survives the death of a worker, and ends all its processes', async () => {
    start({});
    await sees(/The cluster is ready/);
    const pids = printed(/ is process \d+\.$/).map((line) => Number(/(\d+)\.$/.exec(line)![1]));
    expect(pids).toHaveLength(4);

    await api('challenges', challenge('Swim'));
    await sees(/^\[worker \d\].*challenge_created_5\.eml/);
    expect(printed(/challenge_created_5\.eml/)).toHaveLength(1);
    expect(await readdir(join(folder, 'outbox'))).toContain('challenge_created_5.eml');

    process.kill(pids[1]!, 'SIGKILL');
    await sees(/worker 1 is process/, 2);
    for (const title of ['Walk', 'Sleep', 'Read']) await api('challenges', challenge(title));
    for (const id of [6, 7, 8]) await sees(new RegExp(`challenge_created_${id}\\.eml`));
    for (const id of [6, 7, 8]) expect(printed(new RegExp(`challenge_created_${id}\\.eml`))).toHaveLength(1);

    const shown = textOf(await api('spark/workers'));
    const working = printed(/^(worker \d|dispatcher) is process/).slice(-2);
    for (const line of working) expect(shown).toContain(` ${/(\d+)\.$/.exec(line)![1]} `);

    cluster.kill('SIGINT');
    expect(await once(cluster, 'exit')).toEqual([0, null]);
    const alive = printed(/ is process \d+\.$/).filter((line) => isAlive(Number(/(\d+)\.$/.exec(line)![1])));
    expect(alive).toEqual([]);
  }, 120_000);
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
