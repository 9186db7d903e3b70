import { describe, expect, it } from 'vitest';
import { UnderWay } from './under-way.js';

describe('what is on its way', () => {
  it('is counted by handler, until its job has ended', () => {
    const underWay = new UnderWay();
    underWay.add('a', { handler: 'mails', count: 50, until: 1_000 });
    underWay.add('b', { handler: 'mails', count: 7, until: 1_000 });
    underWay.add('c', { handler: 'search', count: 1, until: 1_000 });

    expect(underWay.remove('a')).toBe('mails');
    expect([underWay.of('mails'), underWay.of('search'), underWay.of('others')]).toEqual([7, 1, 0]);
  });

  it('does not count a job of another process, nor the same end twice', () => {
    const underWay = new UnderWay();
    underWay.add('a', { handler: 'mails', count: 50, until: 1_000 });

    expect(underWay.remove('unknown')).toBeUndefined();
    underWay.remove('a');
    expect(underWay.remove('a')).toBeUndefined();
    expect(underWay.of('mails')).toBe(0);
  });

  it('does not count a job that took too long', () => {
    const underWay = new UnderWay();
    underWay.add('a', { handler: 'mails', count: 50, until: 1_000 });
    underWay.add('b', { handler: 'mails', count: 7, until: 2_000 });

    expect(underWay.expire(1_500)).toBe(50);
    expect(underWay.expire(1_500)).toBe(0);
    expect(underWay.of('mails')).toBe(7);
  });

  it('is nothing after Redis was emptied', () => {
    const underWay = new UnderWay();
    underWay.add('a', { handler: 'mails', count: 50, until: 1_000 });
    underWay.clear();

    expect([underWay.of('mails'), underWay.expire(5_000)]).toEqual([0, 0]);
  });
});
