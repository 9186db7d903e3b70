import { describe, expect, it } from 'vitest';
import { POINTS } from './faults.js';
import { schedule } from './schedule.js';

describe('the schedule of a round', () => {
  it('is repeated by its seed, and another one for another seed', () => {
    expect([...schedule(7, 50, true)]).toEqual([...schedule(7, 50, true)]);
    expect([...schedule(7, 50, true)]).not.toEqual([...schedule(8, 50, true)]);
  });

  it.each([1, 2, 3])('meets every point in a short round, by seed %d', (seed) => {
    const kills = [...schedule(seed, 24, true)].filter(({ kind }) => kind === 'kill');
    expect(new Set(kills.flatMap(({ point }) => point ?? []))).toEqual(new Set(POINTS));
  });

  it('crashes and cuts only what is a server', () => {
    const fates = (hasServer: boolean) => [...schedule(7, 100, hasServer)];
    expect(fates(true).filter(({ restart }) => restart).length).toBeGreaterThan(2);
    expect(fates(false).filter(({ restart, cut }) => restart || cut)).toEqual([]);
  });
});
