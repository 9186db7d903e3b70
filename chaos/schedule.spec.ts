import { describe, expect, it } from 'vitest';
import { COMPANIONS, ENDS, LEASE, POINTS, pointsOf, VERSIONS } from './faults.js';
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

  it.each([1, 2, 3])(
    'ends silences in each way in a short round, and each is longer than a lease, by seed %d',
    (seed) => {
      const silences = [...schedule(seed, 24, true)].flatMap(({ silence }) => silence ?? []);
      expect(silences.map(({ ends }) => ends).sort()).toEqual([...ENDS].sort());
      for (const { length } of silences) expect(length).toBeGreaterThan(LEASE.ttl);
    },
  );

  it('starts processes of both versions', () => {
    expect(new Set([...schedule(7, 24, false)].map(({ version }) => version))).toEqual(new Set(VERSIONS));
  });

  describe.each(['bullmq', 'rabbitmq'] as const)('with %s', (companion) => {
    it.each([1, 2, 3])('meets every point and every fault of its server in a short round, by seed %d', (seed) => {
      const fates = [...schedule(seed, 24, true, companion)];
      const kills = fates.filter(({ kind }) => kind === 'kill');
      expect(new Set(kills.flatMap(({ point }) => point ?? []))).toEqual(new Set(pointsOf(companion)));
      expect(new Set(fates.flatMap(({ companion: fault }) => fault ?? []))).toEqual(
        new Set(COMPANIONS[companion].faults),
      );
    });
  });

  it('starts RabbitMQ again seldom, as that takes long', () => {
    const faults = [...schedule(7, 240, true, 'rabbitmq')].flatMap(({ companion }) => companion ?? []);
    expect(faults).toHaveLength(30);
  });

  it.each([1, 2, 3])('gives a process a role by which it meets its point, by seed %d', (seed) => {
    const fates = [...schedule(seed, 24, true, 'bullmq')];
    expect(new Set(fates.map(({ roles }) => roles.join())).size).toBe(3);
    const isOf = (points: readonly string[], point?: string) => point !== undefined && points.includes(point);
    for (const { point, roles } of fates) {
      if (isOf(COMPANIONS.bullmq.points, point)) expect(roles).toContain('dispatch');
      if (isOf(['in-handler', 'after-completion'], point)) expect(roles).toContain('work');
    }
  });

  it('crashes, cuts and silences only what is a server', () => {
    const fates = (hasServer: boolean) => [...schedule(7, 100, hasServer)];
    expect(fates(true).filter(({ restart }) => restart).length).toBeGreaterThan(2);
    expect(fates(false).filter(({ restart, cut, silence }) => restart || cut || silence)).toEqual([]);
  });
});
