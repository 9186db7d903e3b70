import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { SparkHealth } from '../index.js';
import { HealthHistory } from './health-history.js';
import { settingsOf, type SparkHealthOptions } from './health-options.js';
import { problemsOf } from './health-problems.js';

const NOW = new Date('2026-03-01T12:00:00Z');
const ago = (ms: number) => new Date(NOW.getTime() - ms);
const MINUTE = 60_000;

const WELL: SparkHealth = {
  now: NOW,
  backlog: [],
  discarded: [],
  orphans: [],
  held: [],
  sweeps: [],
  paused: [],
  workers: 1,
  lease: 'held',
};
const sweep = { source: 'notes', missed: 0, paused: undefined, overdue: undefined, sweeping: undefined };

describe('the problems of a health check', () => {
  let history: HealthHistory;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] });
    history = new HealthHistory();
  });
  afterEach(() => vi.useRealTimers());

  const problems = (health: Partial<SparkHealth>, options: SparkHealthOptions = {}) => {
    history.add({ ...WELL, ...health });
    return problemsOf({ ...WELL, ...health }, history, settingsOf(options));
  };

  it('are none where all is well, by the defaults', () => {
    expect(problems({})).toEqual([]);
    expect(problems({ backlog: [{ handler: 'mails', since: ago(15 * MINUTE) }] })).toEqual([]);
  });

  it('name what is above the limit, longest first, and no more than five', () => {
    const backlog = [10, 16, 17, 18, 19, 20, 21, 22].map((minutes) => {
      return { handler: `h${minutes}`, since: ago(minutes * MINUTE) };
    });
    const [problem] = problems({ backlog });
    expect(problem!.message).toBe(
      'Due deliveries wait: h22 (22 minutes), h21 (21 minutes), h20 (20 minutes), h19 (19 minutes), h18 (18 minutes) and 2 more. ' +
        'The limit is 15m.',
    );
  });

  it('take the worse of two limits', () => {
    const backlog = [{ handler: 'mails', since: ago(30 * MINUTE) }];
    const of = (options: SparkHealthOptions) => problems({ backlog }, options).map(({ status }) => status);
    expect(of({ backlog: { degraded: '15m', down: '1h' } })).toEqual(['degraded']);
    expect(of({ backlog: { degraded: '15m', down: '20m' } })).toEqual(['down']);
    expect(of({ backlog: { degraded: false, down: '1h' } })).toEqual([]);
    expect(of({ backlog: undefined })).toEqual(['degraded']);
  });

  it('add up what is counted', () => {
    const discarded = [
      { handler: 'mails', deliveries: 2 },
      { handler: 'files', deliveries: 3 },
    ];
    expect(problems({ discarded }, { discarded: 5 })).toEqual([]);
    expect(problems({ discarded }, { discarded: 4 })[0]!.message).toContain('files (3), mails (2). The limit is 4.');
  });

  it('give a process that boots 30 seconds for its first lease, and none if it has lost one', () => {
    expect(problems({ lease: 'lost' })).toMatchObject([{ about: 'lease', status: 'down' }]);
    expect(problems({ lease: 'pending' })).toEqual([]);
    vi.advanceTimersByTime(29_000);
    expect(problems({ lease: 'pending' })).toEqual([]);
    vi.advanceTimersByTime(2_000);
    expect(problems({ lease: 'pending' })).toMatchObject([{ about: 'lease' }]);
    expect(problems({ lease: 'held' })).toEqual([]);
    expect(problems({ lease: 'pending' })).toEqual([]);
    expect(problems({ lease: 'none' })).toEqual([]);
  });

  it('tell of a sweep that reads nothing, from when it last did, and not of one that was begun since', () => {
    const at = (began: number, read: number) =>
      problems({ sweeps: [{ ...sweep, sweeping: { since: new Date(began), read, left: undefined } }] });
    expect(at(1, 0)).toEqual([]);
    vi.advanceTimersByTime(29 * MINUTE);
    expect(at(1, 5)).toEqual([]);
    vi.advanceTimersByTime(29 * MINUTE);
    expect(at(1, 5)).toEqual([]);
    vi.advanceTimersByTime(2 * MINUTE);
    expect(at(1, 5)).toMatchObject([{ about: 'sweepStalled' }]);
    expect(at(2, 5)).toEqual([]);
  });

  it('take no schedule for overdue while another sweep runs', () => {
    const overdue = { ...sweep, overdue: new Date(Date.now() - 90 * MINUTE) };
    const running = { ...sweep, source: 'other', sweeping: { since: NOW, read: 1, left: undefined } };
    expect(problems({ sweeps: [overdue] })).toMatchObject([{ about: 'sweepOverdue' }]);
    expect(problems({ sweeps: [overdue, running] })).toEqual([]);
  });

  it('count what was missed from the first check on, within a time', () => {
    const total = (missed: number) => problems({ sweeps: [{ ...sweep, missed }] });
    expect(total(70)).toEqual([]);
    expect(total(72)[0]!.message).toContain('within 1d: notes (2).');
    vi.advanceTimersByTime(23 * 60 * MINUTE);
    expect(total(73)[0]!.message).toContain('notes (3)');
    vi.advanceTimersByTime(2 * 60 * MINUTE);
    expect(total(73)[0]!.message).toContain('notes (1)');
    vi.advanceTimersByTime(23 * 60 * MINUTE);
    expect(total(73)).toEqual([]);
  });
});
