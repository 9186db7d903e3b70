import * as fc from 'fast-check';
import { describe, expect, expectTypeOf, it } from 'vitest';
import type { EventId } from './event-key.js';
import { sparkEvent, type SparkEvent } from './spark-event.js';

describe('sparkEvent', () => {
  it.each<[EventId, string]>([
    [7, 'ended_7'],
    ['a7', 'ended_a7'],
    [2n ** 60n, 'ended_1152921504606846976'],
    [[7, 'b', 3n], 'ended_7,b,3'],
    [0, 'ended_0'],
  ])('makes the key of group and id: %s', (id, key) => {
    expect(sparkEvent('ended', id)).toEqual({ group: 'ended', key, context: undefined });
  });

  it('ends the key with the occurrence', () => {
    expect(sparkEvent('birthday', 7, {}, { occurrence: 2026 }).key).toBe('birthday_7@2026');
    expect(sparkEvent('birthday', [7, 8], {}, { occurrence: 'b' }).key).toBe('birthday_7,8@b');
    expect(sparkEvent('birthday', 7, {}, { occurrence: undefined }).key).toBe('birthday_7');
  });

  it('takes a key of its own as it is', () => {
    expect(sparkEvent('birthday', 7, {}, { key: 'mine', occurrence: 2026 }).key).toBe('mine');
  });

  it('keeps the context itself, with its type', () => {
    const context = { title: 'Run' };
    const event = sparkEvent('ended', 7, context);
    expect(event.context).toBe(context);
    expectTypeOf(event).toEqualTypeOf<SparkEvent<{ title: string }>>();
    expectTypeOf(sparkEvent('ended', 7)).toEqualTypeOf<SparkEvent<undefined>>();
  });

  it('keeps the date of each event, though a source moves one Date on', () => {
    const at = new Date(0);
    const first = sparkEvent('day', 1, {}, { at });
    at.setTime(1000);
    const second = sparkEvent('day', 2, {}, { at });
    expect([first.at, second.at]).toEqual([new Date(0), new Date(1000)]);
  });

  it('tells a date that is not set from one that was left out', () => {
    expect('at' in sparkEvent('ended', 7, {}, { at: null })).toBe(true);
    expect('at' in sparkEvent('ended', 7, {}, { at: undefined })).toBe(true);
    expect('at' in sparkEvent('ended', 7, {}, {})).toBe(false);
  });

  it('never throws', () => {
    const raise = (): never => {
      throw new Error('no');
    };
    const hostile = { toString: raise, valueOf: raise, [Symbol.toPrimitive]: raise };
    const trap = new Proxy({}, { get: raise, has: raise, getPrototypeOf: raise, ownKeys: raise });
    const inputs = [
      hostile,
      trap,
      Symbol('s'),
      [Symbol('s')],
      [hostile],
      Object.create(null) as object,
      raise,
      new Proxy([], { get: raise }),
    ];
    // By number: fast-check itself would trip over them.
    const part = fc.oneof(fc.nat({ max: inputs.length - 1 }), fc.anything());
    const pick = (choice: unknown): any => (typeof choice === 'number' ? (inputs[choice] ?? choice) : choice);
    fc.assert(
      fc.property(
        part,
        part,
        fc.record({ key: part, at: part, occurrence: part }, { requiredKeys: [] }),
        (...parts) => {
          const [group, id, options] = parts;
          const entries = Object.entries(options).map(([name, value]) => [name, pick(value)]);
          const given: unknown[] = [Object.fromEntries(entries), pick(id)];
          for (const each of given) {
            expect(() => sparkEvent(pick(group), pick(id), undefined, each as object)).not.toThrow();
          }
        },
      ),
    );
  });
});
