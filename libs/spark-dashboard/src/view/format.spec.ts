import { describe, expect, it } from 'vitest';
import { Format } from './format.js';

describe('how pages write', () => {
  const format = new Format('en');

  it('numbers by the language, and counts that stop', () => {
    expect([format.number(12_345), new Format('de').number(12_345)]).toEqual(['12,345', '12.345']);
    expect([format.capped(999, 1_000), format.capped(1_000, 1_000)]).toEqual(['999', '1,000+']);
  });

  it.each([
    [undefined, '–'],
    [0, '0 ms'],
    [-5, '0 ms'],
    [999, '999 ms'],
    [61_000, '1 min 1 s'],
    [7_500_000, '2 h 5 min'],
    [86_400_000, '1 d 0 h'],
  ])('a duration of %s ms as %s', (milliseconds, text) => {
    expect(format.duration(milliseconds)).toBe(text);
  });

  it('times in UTC, for machines, too', () => {
    expect(format.time(new Date('2026-03-01T10:00:00.123Z')).text).toBe(
      '<time datetime="2026-03-01T10:00:00.123Z">2026-03-01 10:00:00\u00a0UTC</time>',
    );
    expect(format.time(undefined).text).toBe('–');
  });
});
