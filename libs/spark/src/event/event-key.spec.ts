import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkEvent } from './event-check.js';
import { idText, idTextIn } from './event-key.js';
import type { EventId } from './event-key.js';
import { sparkEvent } from './spark-event.js';

// Mostly made of what keys are put together with, so that texts nearly collide.
const anyText = fc.string({ unit: fc.constantFrom('_', '@', ',', '\\', 'a', '1'), maxLength: 6 });
const part = fc.oneof(anyText, fc.integer(), fc.bigInt());
const anyId: fc.Arbitrary<EventId> = fc.oneof(part, fc.array(part, { minLength: 1, maxLength: 3 }));
const event = fc.record({
  group: fc.string({ unit: fc.constantFrom('_', '@', ',', '\\', 'a', '1'), minLength: 1, maxLength: 6 }),
  id: anyId,
  occurrence: fc.option(fc.oneof(anyText, fc.integer()), { nil: undefined }),
});
type Named = { group: string; id: EventId; occurrence: string | number | undefined };

/** What tells events apart: `7` and `'7'` are one id. */
const identity = ({ group, id, occurrence }: Named) =>
  JSON.stringify([group, [id].flat().map(String), occurrence === undefined ? null : String(occurrence)]);
const keyOf = ({ group, id, occurrence }: Named) => sparkEvent(group, id, undefined, { occurrence }).key;

describe('keys', () => {
  it('two different events never share one', () => {
    fc.assert(
      fc.property(event, event, (one, other) => {
        expect(keyOf(one) === keyOf(other)).toBe(identity(one) === identity(other));
      }),
      { numRuns: 20_000 },
    );
  });

  it.each<[Named, Named]>([
    [
      { group: 'pair', id: ['a,b', 'c'], occurrence: undefined },
      { group: 'pair', id: ['a', 'b,c'], occurrence: undefined },
    ],
    [
      { group: 'year', id: 'a@1', occurrence: undefined },
      { group: 'year', id: 'a', occurrence: 1 },
    ],
    [
      { group: 'challenge', id: 'ended_7', occurrence: undefined },
      { group: 'challenge_ended', id: 7, occurrence: undefined },
    ],
    [
      { group: 'a_b\\', id: 'c', occurrence: undefined },
      { group: 'a', id: 'b_c', occurrence: undefined },
    ],
    [
      { group: 'a', id: 'x', occurrence: '1_2' },
      { group: 'a_x@1', id: 2, occurrence: undefined },
    ],
  ])('those that are easily confused do not: %j and %j', (one, other) => {
    expect(keyOf(one)).not.toBe(keyOf(other));
  });

  it('without separators in ids they are what they read like', () => {
    const plain = fc.string({ unit: fc.constantFrom('a', 'Z', '0', '-', '.', ' ', 'é', '/', ':'), maxLength: 8 });
    fc.assert(
      fc.property(
        fc.array(plain, { minLength: 1, maxLength: 3 }),
        fc.option(plain, { nil: undefined }),
        (id, again) => {
          const key = keyOf({ group: 'challenge_ended', id, occurrence: again });
          expect(key).toBe(`challenge_ended_${id.join(',')}${again === undefined ? '' : `@${again}`}`);
        },
      ),
    );
    expect(keyOf({ group: 'day', id: 7, occurrence: '2026-W48@Europe' })).toBe('day_7@2026-W48@Europe');
  });

  it('give the id back that they were made of', () => {
    fc.assert(
      fc.property(event, (named) => {
        expect(idTextIn(named.group, keyOf(named))).toBe(idText([named.id].flat()));
      }),
    );
    expect(idTextIn('challenge', 'other_7')).toBeUndefined();
  });

  it('too long ones are refused, not cut', () => {
    const most = 255 - 'g_'.length;
    expect(checkEvent(sparkEvent('g', 'k'.repeat(most)))).toBeUndefined();
    // Each of these takes two characters.
    expect(checkEvent(sparkEvent('g', '_'.repeat(126)))).toBeUndefined();
    expect(checkEvent(sparkEvent('g', '_'.repeat(127)))).toMatch(/its key is longer than 255 characters/);
  });

  it('numbers that JavaScript does not hold exactly are no ids', () => {
    expect(checkEvent(sparkEvent('g', Number.MAX_SAFE_INTEGER))).toBeUndefined();
    expect(checkEvent(sparkEvent('g', 2 ** 53))).toMatch(/its id is 9007199254740992\. Give sparkEvent .* bigint/);
    expect(checkEvent(sparkEvent('g', 2n ** 53n))).toBeUndefined();
  });
});
