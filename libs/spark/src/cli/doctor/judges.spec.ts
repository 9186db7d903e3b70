import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { judgeCharsets } from './charsets.js';
import { judgeClocks } from './clocks.js';
import { type Found, listed, shellWord } from './finding.js';
import { judgeIsolation } from './isolation.js';
import { judgeJournal } from './journal.js';
import { judgeLocks } from './locks.js';
import type { Patient } from './patient.js';
import { judgePool } from './pool.js';
import { checkShutdownHooks } from './shutdown-hooks.js';
import { judgeVacuum } from './vacuum.js';

const MINUTE = 60_000;

/** Each finding in short, and that each that is not ok says what to do. */
function short(found: readonly Found[]): string[] {
  for (const { status, advice } of found) expect(advice !== undefined).toBe(status !== 'ok');
  return found.map(({ status, found: text }) => `${status} ${text}`);
}

it('clocks: those that differ by more than the time of the question, and times that lie ahead or behind', () => {
  const now = 1_800_000_000_000;
  const agreed = { database: now, asked: now - 10, answered: now + 10, registered: now, entered: now, workers: 1 };
  const judged = (read: object) => short(judgeClocks({ ...agreed, ...read }));
  expect(judged({})).toEqual([expect.stringMatching(/^ok /)]);
  expect(judged({ asked: now - 900, answered: now + 900 })).toEqual([expect.stringMatching(/^ok /)]);
  expect(judged({ database: now + 12_000, registered: now + 12_000 })).toEqual([
    "warning The database's clock is 12 s ahead of that of this process.",
  ]);
  expect(judged({ database: now - 2_000 })).toEqual([expect.stringContaining('2 s behind')]);
  expect(judged({ entered: now + MINUTE })).toEqual([
    expect.stringMatching(/^error A process has stored .* 60 s ahead/),
  ]);
  expect(judged({ registered: now - 4 * MINUTE })).toEqual([
    expect.stringMatching(/^error Processes work, .* 4 min ago/),
  ]);
  expect(judged({ registered: now - 4 * MINUTE, workers: 0 })).toEqual([expect.stringMatching(/^ok /)]);
  expect(judged({ registered: undefined, entered: undefined })).toEqual([expect.stringMatching(/^ok /)]);
});

it('the pool: none left is an error, one left is a warning', () => {
  const judged = (pool: number, concurrency: number, isWorker = true) =>
    judgePool({ pool, concurrency, isWorker }).map(({ status }) => status);
  expect(judged(10, 8)).toEqual(['ok']);
  expect(judged(10, 9)).toEqual(['warning']);
  expect(judged(10, 10)).toEqual(['error']);
  expect(judged(10, 10, false)).toEqual(['ok']);
  expect(judged(Infinity, 10)).toEqual([]);
});

it('isolation: rows that may be rolled back, and a binary log by statement', () => {
  const usual = { level: 'READ COMMITTED', collides: false, seesUncommitted: false, refusesReadCommitted: false };
  const judged = (facts: object) => short(judgeIsolation({ ...usual, ...facts }));
  expect(judged({})).toEqual(['ok Transactions are READ COMMITTED by default.']);
  expect(judged({ level: 'SERIALIZABLE', collides: true })).toEqual([
    expect.stringMatching(/^warning .* SERIALIZABLE /),
  ]);
  expect(judged({ seesUncommitted: true, refusesReadCommitted: true })).toEqual([
    expect.stringMatching(/^error .*binary log/),
    expect.stringMatching(/^error .*READ UNCOMMITTED/),
  ]);
});

it('autovacuum: off, or far behind for an hour', () => {
  const table = { table: 'spark_event', isOff: false, deadRows: 0, beginsAt: 1_000, lastEnded: undefined };
  const judged = (facts: object, isOn = true) => short(judgeVacuum({ isOn, tables: [{ ...table, ...facts }] }));
  expect(judged({})).toEqual(['ok Autovacuum keeps up.']);
  expect(judged({ deadRows: 10_000 })).toEqual(['ok Autovacuum keeps up.']);
  expect(judged({ deadRows: 10_001 })).toEqual([expect.stringContaining('spark_event (10,001 dead rows)')]);
  expect(judged({ deadRows: 10_001, lastEnded: 59 * MINUTE })).toEqual(['ok Autovacuum keeps up.']);
  expect(judged({ deadRows: 10_001, lastEnded: 61 * MINUTE })).toEqual([expect.stringMatching(/^error .*far behind/)]);
  expect(judged({ isOff: true }, false)).toEqual([
    'error Autovacuum is off on this server.',
    'error Autovacuum is off for spark_event.',
  ]);
});

it('the journal: without WAL it depends on who sets it, and Spark needs no busy timeout', () => {
  const judged = (mode: string, busyTimeout: number, by: Parameters<typeof judgeJournal>[1]) =>
    short(judgeJournal({ mode, busyTimeout }, by)).map((text) => text.split(' ', 1)[0]);
  expect(judged('wal', 0, 'spark')).toEqual(['ok']);
  expect(judged('delete', 0, 'spark')).toEqual(['error']);
  expect(judged('delete', 0, 'nobody')).toEqual(['warning']);
  expect(judged('delete', 0, 'application')).toEqual(['error', 'error']);
  expect(judged('wal', 5_000, 'application')).toEqual(['ok']);
});

it('character sets and locks: each that is wrong is named', () => {
  const column = {
    table: 'spark_event',
    column: 'event_key',
    collation: 'latin1_swedish_ci',
    needed: 'utf8mb4_nopad_bin',
  };
  expect(short(judgeCharsets({ connection: ['latin1'], columns: [column] }))).toEqual([
    expect.stringContaining('in latin1,'),
    expect.stringContaining('spark_event.event_key is latin1_swedish_ci, not utf8mb4_nopad_bin'),
  ]);
  const open = { connection: '7', age: 20 * MINUTE, tables: ['spark_event', 'spark_delivery'] };
  expect(short(judgeLocks([open, { ...open, tables: [] }]))).toEqual([
    'warning A transaction of the connection 7 is open for 20 min and has locked spark_event, spark_delivery.',
    'warning A transaction of the connection 7 is open for 20 min and has locked rows.',
  ]);
  expect(short(judgeLocks('refused'))).toEqual([expect.stringMatching(/^warning /)]);
});

it('shutdown hooks: called in a file beside the module, or something listens', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'spark-doctor-'));
  const moduleFile = join(folder, 'app.module.js');
  const spark = { settings: { worker: { lease: { ttl: 30_000 } } } };
  const judged = async (listens: boolean) =>
    short(await checkShutdownHooks({ spark, application: { moduleFile, listens } } as unknown as Patient));
  writeFileSync(moduleFile, 'export class AppModule {}');
  expect(await judged(true)).toEqual(['ok The application listens for SIGTERM.']);
  expect(await judged(false)).toEqual([expect.stringMatching(/^warning No file in .*, 30000 ms\.$/)]);
  writeFileSync(join(folder, 'main.js'), 'app.enableShutdownHooks();');
  expect(await judged(false)).toEqual(['ok main.js calls enableShutdownHooks().']);
  rmSync(folder, { recursive: true });
});

it('names: a list is cut, and a name in a command is one word of a shell', () => {
  expect(listed(['a', 'b'])).toBe('a, b');
  expect(listed(['a', 'b', 'c', 'd', 'e', 'f', 'g'])).toBe('a, b, c, d, e and 2 more');
  expect(shellWord('ChallengeMails.send')).toBe('ChallengeMails.send');
  expect(shellWord('$(rm -rf .)')).toBe(`'$(rm -rf .)'`);
  expect(shellWord("it's")).toBe(String.raw`'it'\''s'`);
  expect(shellWord('')).toBe(`''`);
});
