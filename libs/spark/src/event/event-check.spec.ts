import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkEvent, NEVER } from './event-check.js';
import type { EventId } from './event-key.js';
import { sparkEvent } from './spark-event.js';

const raise = (): never => {
  throw new Error('no');
};
const GROUP = 'Give sparkEvent a group of 1 to 100 characters.';
const KEY = 'Give sparkEvent an id, or a key of its own, that makes a key of 1 to 255 characters.';
const ID =
  'Give sparkEvent text, a finite number up to 2^53 − 1, a bigint or a list of these; is the entity saved already?';
const OCCURRENCE = 'Give sparkEvent text or a finite number, or leave it out.';
const AT = 'Give sparkEvent a valid Date, null for "never", or leave it out for "now".';
const YIELD = 'Yield what sparkEvent() returns.';

describe('checkEvent', () => {
  it.each([
    sparkEvent('ended', 7),
    sparkEvent('ended ', 'A '),
    sparkEvent('ended', ['a', 1, 2n], {}, { at: new Date(), occurrence: 'x' }),
    sparkEvent('😀'.repeat(100), 1),
    sparkEvent('g', 1, {}, { key: '😀'.repeat(255) }),
    sparkEvent('g', '', {}, { at: new Date(8.64e15) }),
    { group: 'by hand', key: 'k', context: 1 },
  ])('lets a good event pass: %#', (event) => {
    expect(checkEvent(event)).toBeUndefined();
  });

  it.each([
    ['', `its group is empty. ${GROUP}`],
    ['g'.repeat(101), `its group is longer than 100 characters ("${'g'.repeat(60)}…"). ${GROUP}`],
    ['😀'.repeat(101), `its group is longer than 100 characters ("${'😀'.repeat(30)}…"). ${GROUP}`],
    ['a\0b', `its group holds a NUL character ("a\\u0000b"), which databases refuse. ${GROUP}`],
    ['a\ud800', `its group holds half of a surrogate pair ("a\\ud800"), which databases refuse. ${GROUP}`],
    [undefined, `its group is undefined, not text. ${GROUP}`],
    [Symbol('g'), `its group is a symbol, not text. ${GROUP}`],
  ])('refuses the group %j', (group, reason) => {
    expect(checkEvent(sparkEvent(group as string, 7))).toBe(reason);
  });

  it.each([
    ['', `its key is empty. ${KEY}`],
    ['k'.repeat(256), `its key is longer than 255 characters ("${'k'.repeat(60)}…"). ${KEY}`],
    ['\0', `its key holds a NUL character ("\\u0000"), which databases refuse. ${KEY}`],
    ['\udc00', `its key holds half of a surrogate pair ("\\udc00"), which databases refuse. ${KEY}`],
    [7, `its key is 7, not text. ${KEY}`],
  ])('refuses the key %j', (key, reason) => {
    expect(checkEvent(sparkEvent('g', 7, {}, { key: key as string }))).toBe(reason);
  });

  it('refuses a key that its id makes too long or unstorable', () => {
    expect(checkEvent(sparkEvent('g', 'i'.repeat(254)))).toMatch(/^its key is longer than 255 characters/);
    expect(checkEvent(sparkEvent('g', ['a', '\0']))).toMatch(/^its key holds a NUL/);
  });

  it.each<[unknown, string]>([
    [null, 'null'],
    [undefined, 'undefined'],
    [NaN, 'NaN'],
    [Infinity, 'Infinity'],
    [-Infinity, '-Infinity'],
    [true, 'true'],
    [{}, 'an object'],
    [new Date(), 'a Date'],
    [Symbol('s'), 'a symbol'],
    [raise, 'a function'],
    [{ toString: raise }, 'an object'],
    [new Proxy({}, { get: raise }), 'an unreadable object'],
    [[], 'an empty list'],
    [[1, undefined], 'a list that holds undefined'],
    [[1, [2]], 'a list that holds a list'],
    // oxlint-disable-next-line no-sparse-arrays
    [[, 1], 'a list that holds undefined'],
  ])('refuses the id %#', (id, got) => {
    expect(checkEvent(sparkEvent('g', id as EventId))).toBe(`its id is ${got}. ${ID}`);
    expect(checkEvent(sparkEvent('g', id as EventId, {}, { key: 'mine' }))).toBe(`its id is ${got}. ${ID}`);
  });

  it.each<[unknown, string]>([
    [null, 'null'],
    [NaN, 'NaN'],
    [new Date(), 'a Date'],
  ])('refuses the occurrence %j', (occurrence, got) => {
    const event = sparkEvent('g', 7, {}, { occurrence: occurrence as string });
    expect(checkEvent(event)).toBe(`its occurrence is ${got}. ${OCCURRENCE}`);
  });

  it.each<[unknown, string]>([
    [new Date(NaN), 'its at is an invalid Date'],
    ['2026-01-01', 'its at is "2026-01-01", not a Date'],
    [0, 'its at is 0, not a Date'],
    [{}, 'its at is an object, not a Date'],
  ])('refuses the date %j', (at, reason) => {
    expect(checkEvent(sparkEvent('g', 7, {}, { at: at as Date }))).toBe(`${reason}. ${AT}`);
  });

  it('lets an event whose date is not set never fire', () => {
    expect(checkEvent(sparkEvent('g', 7, {}, { at: null }))).toBe(NEVER);
    expect(checkEvent(sparkEvent('g', 7, {}, { at: undefined }))).toBe(NEVER);
    expect(checkEvent({ ...sparkEvent('g', 7, {}, { at: null }) })).toBe(NEVER);
  });

  it('says what is wrong even with an event that never fires', () => {
    expect(checkEvent(sparkEvent('', 7, {}, { at: null }))).toBe(`its group is empty. ${GROUP}`);
  });

  it('refuses options that throw when they are read', () => {
    const options = Object.defineProperty({}, 'at', { get: raise, enumerable: true });
    expect(checkEvent(sparkEvent('g', 7, {}, options))).toBe(
      'its input cannot be read (no). Give sparkEvent plain values.',
    );
  });

  it.each<[unknown, string]>([
    [undefined, `it is undefined, not an event. ${YIELD}`],
    ['ended', `it is "ended", not an event. ${YIELD}`],
    [[sparkEvent('g', 7)], `it is a list, not an event. ${YIELD}`],
    [Promise.resolve(), `it is a Promise, not an event. ${YIELD}`],
    [new Proxy({}, { has: raise }), `it cannot be read (no). ${YIELD}`],
  ])('refuses what is no event: %#', (event, reason) => {
    expect(checkEvent(event)).toBe(reason);
  });

  it('refuses a copy of an event that has no key for want of an id', () => {
    expect(checkEvent({ ...sparkEvent('g', NaN) })).toBe(`its key is empty. ${KEY}`);
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), (group, key) => {
        expect(() => [checkEvent(group), checkEvent({ group, key })]).not.toThrow();
      }),
    );
  });
});
