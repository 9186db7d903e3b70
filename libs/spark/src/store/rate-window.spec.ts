import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { counting, roomAt, type Starts, started } from './rate-window.js';

const rate = { max: 3, per: 1_000, isByPartition: false };

describe('the starts that count against a rate', () => {
  it('leave room up to the maximum, and say when there is room again', () => {
    expect(roomAt([], rate, 5_000)).toEqual({ room: 3, freeAt: 5_000 });
    const starts = started(started([], rate, 2, 5_000), rate, 1, 5_500);
    expect(roomAt(starts, rate, 5_999)).toEqual({ room: 0, freeAt: 6_000 });
    expect(roomAt(starts, rate, 6_000)).toEqual({ room: 2, freeAt: 6_500 });
  });

  it('are counted together by hundredths of the time, never earlier than they are', () => {
    const starts = started(started([], rate, 1, 5_001), rate, 1, 5_009);
    expect(starts).toEqual([[5_010, 2]]);
    expect(counting(starts, rate, 6_009)).toEqual(starts);
    expect(counting(starts, rate, 6_010)).toEqual([]);
  });

  it('leave no room where the maximum was lowered', () => {
    expect(roomAt([[5_000, 9]], rate, 5_000).room).toBe(0);
  });

  it('never allow more than the maximum in any span, however late each begins', () => {
    const claim = fc.record({
      pause: fc.nat(700),
      delay: fc.nat(400),
      late: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(claim, { maxLength: 60 }), (claims) => {
        let [now, starts] = [1_000_000, [] as Starts];
        const began: number[] = [];
        for (const { pause, delay, late } of claims) {
          now += pause;
          const { room } = roomAt(starts, rate, now);
          if (room === 0) continue;
          starts = started(counting(starts, rate, now), rate, room, now + delay);
          for (let i = 0; i < room; i++) began.push(now + delay * late);
        }
        for (const first of began)
          expect(began.filter((at) => at >= first && at < first + rate.per).length).toBeLessThanOrEqual(rate.max);
      }),
    );
  });
});
