import { describe, expect, it } from 'vitest';
import { adviceOn, isOfConnection, isOfLostJob, reasonOf } from './advice.js';

describe('an error of Redis', () => {
  it.each([
    [`OOM command not allowed when used memory > 'maxmemory'.`, /maxmemory/],
    ['WRONGPASS invalid username-password pair or user is disabled.', /password/],
    ['NOAUTH Authentication required.', /password/],
    [`READONLY You can't write against a read only replica.`, /primary/],
    ['MISCONF Redis is configured to save RDB snapshots', /disk/],
    ['Command timed out', /overloaded or stopped/],
    ['connect ECONNREFUSED 127.0.0.1:6379', /Start it/],
  ])('%s comes with what to do', (reason, advice) => expect(adviceOn(reason)).toMatch(advice));

  it('has words, also if it has several causes and no message', () => {
    expect(reasonOf(Object.assign(new AggregateError([], ''), { code: 'ECONNREFUSED' }))).toBe('ECONNREFUSED');
  });

  it('is told apart from one of the connection', () => {
    expect(isOfConnection(Object.assign(new Error(''), { code: 'ECONNREFUSED' }))).toBe(true);
    expect(isOfConnection(new Error('Connection is closed.'))).toBe(true);
    expect(isOfConnection(new Error('WRONGTYPE Operation against a key'))).toBe(false);
  });

  it('about a job that Redis has lost is told apart from others', () => {
    const lost = [
      'Missing key for job 7. moveToFinished',
      'Missing lock for job 7. moveToFinished',
      'could not renew lock for job 7',
    ];
    for (const words of lost) expect(isOfLostJob(new Error(words))).toBe(true);
    expect(isOfLostJob(new Error('ERR Error running script'))).toBe(false);
  });
});
