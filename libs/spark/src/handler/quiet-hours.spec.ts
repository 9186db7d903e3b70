import { describe, expect, it } from 'vitest';
import type { QuietHours } from './batch.js';
import { quietUntil } from './quiet-hours.js';

const until = (hours: QuietHours, instant: string): string | undefined => {
  const end = quietUntil((part) => part, hours, Date.parse(instant));
  return end === undefined ? undefined : new Date(end).toISOString();
};
const night = { from: '22:00', to: '07:00' };

describe('quiet hours', () => {
  it('end in the morning, before midnight and after it', () => {
    expect(until(night, '2026-03-03T21:59:59.999Z')).toBeUndefined();
    expect(until(night, '2026-03-03T22:00:00Z')).toBe('2026-03-04T07:00:00.000Z');
    expect(until(night, '2026-03-04T06:59:59.999Z')).toBe('2026-03-04T07:00:00.000Z');
    expect(until(night, '2026-03-04T07:00:00Z')).toBeUndefined();
  });

  it('may lie within a day', () => {
    const noon = { from: '12:00', to: '13:30' };
    expect(until(noon, '2026-03-03T12:30:00Z')).toBe('2026-03-03T13:30:00.000Z');
    expect(until(noon, '2026-03-03T13:30:00Z')).toBeUndefined();
    expect(until(noon, '2026-03-03T00:00:00Z')).toBeUndefined();
  });

  it('are those of a time zone, also when its clocks change', () => {
    const berlin = { ...night, timeZone: 'Europe/Berlin' };
    expect(until(berlin, '2026-03-28T20:59:00Z')).toBeUndefined();
    // Clocks go forward at 01:00Z.
    expect(until(berlin, '2026-03-28T21:00:00Z')).toBe('2026-03-29T05:00:00.000Z');
    // Clocks go back at 01:00Z.
    expect(until(berlin, '2026-10-24T20:00:00Z')).toBe('2026-10-25T06:00:00.000Z');
  });

  it('refuses what is no time or zone', () => {
    expect(() => until({ from: '22', to: '07:00' }, '2026-03-03T00:00:00Z')).toThrow('quiet.from');
    expect(() => until({ from: '22:00', to: '24:00' }, '2026-03-03T00:00:00Z')).toThrow('quiet.to');
    expect(() => until({ from: '22:00', to: '22:00' }, '2026-03-03T00:00:00Z')).toThrow('another time');
    expect(() => until({ ...night, timeZone: 'Mars' }, '2026-03-03T00:00:00Z')).toThrow('quiet.timeZone');
    expect(() => until({ ...night, zone: 'UTC' } as QuietHours, '2026-03-03T00:00:00Z')).toThrow('quiet.zone');
  });
});
