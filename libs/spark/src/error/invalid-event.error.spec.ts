import { describe, expect, it } from 'vitest';
import { InvalidEventError } from './invalid-event.error.js';
import { SparkError } from './spark.error.js';

const reason = 'its group is empty. Give sparkEvent a group of 1 to 100 characters.';

describe('InvalidEventError', () => {
  it('names source, entity, id and reason', () => {
    const error = new InvalidEventError(reason, { source: 'ChallengeEvents.events', entity: 'Challenge', id: '7' });
    expect(error).toBeInstanceOf(SparkError);
    expect(error.name).toBe('InvalidEventError');
    expect(error.message).toBe(
      `ChallengeEvents.events yielded an event for Challenge 7 that cannot be entered: ${reason}`,
    );
  });

  it('names group and key where there are any', () => {
    const where = { source: 'A.events', entity: 'B', id: '1', group: 'g\0', key: 'k'.repeat(300) };
    expect(new InvalidEventError(reason, where).message).toBe(
      `A.events yielded an event (group "g\\u0000", key "${'k'.repeat(60)}…") for B 1 that cannot be entered: ${reason}`,
    );
    expect(new InvalidEventError(reason, { group: '', key: '_7' }).message).toBe(
      `SparkService.emit was given an event (key "_7") that cannot be entered: ${reason}`,
    );
  });

  it('names emit without a source', () => {
    expect(new InvalidEventError(reason).message).toBe(
      `SparkService.emit was given an event that cannot be entered: ${reason}`,
    );
  });
});
