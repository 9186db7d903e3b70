import { describe, expect, it } from 'vitest';
import { lastSlot } from './last-slot.js';

describe('the last instant of a cron expression', () => {
  it.each([
    ['0 3 * * *', '2026-06-10T12:00:00Z', '2026-06-10T03:00:00Z'],
    ['0 3 * * *', '2026-06-10T03:00:00Z', '2026-06-10T03:00:00Z'],
    ['0 3 * * *', '2026-06-10T02:59:59Z', '2026-06-09T03:00:00Z'],
    ['*/10 * * * *', '2026-06-10T12:39:00Z', '2026-06-10T12:30:00Z'],
    ['* 9-16 * * 1-5', '2026-06-14T12:00:00Z', '2026-06-12T16:59:00Z'],
    ['* * * * * *', '2026-06-10T12:00:00.400Z', '2026-06-10T12:00:00Z'],
    ['0 0 29 2 *', '2026-06-10T12:00:00Z', '2024-02-29T00:00:00Z'],
  ])('%s before %s is %s', (cron, upTo, slot) => {
    expect(lastSlot(cron, 'UTC', Date.parse(upTo))).toBe(Date.parse(slot));
  });

  it('goes by the time zone', () => {
    const slot = lastSlot('0 3 * * *', 'Asia/Tokyo', Date.parse('2026-06-10T12:00:00Z'));
    expect(slot).toBe(Date.parse('2026-06-09T18:00:00Z'));
  });
});
