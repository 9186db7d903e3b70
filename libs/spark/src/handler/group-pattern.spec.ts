import { describe, expect, it } from 'vitest';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { defineEvent } from '../event/event-definition.js';
import { groupPattern, readPattern, writePattern } from './group-pattern.js';

// What another process reads, which may be of a release before definitions.
const registered = (given: unknown) => readPattern(writePattern(groupPattern(given).pattern));

describe('the pattern of a handler', () => {
  it('is the regular expression itself, without the flags that remember a position', () => {
    expect(groupPattern(/^a\/b/giy)).toEqual({ pattern: /^a\/b/i });
    expect(groupPattern('^a')).toEqual({ pattern: /^a/ });
    expect(registered(/^a\/b/i)).toEqual(/^a\/b/i);
  });

  it('of a definition matches its group and no other', () => {
    const pattern = registered(defineEvent('challenge_ended'));
    expect(pattern).toEqual(/^challenge_ended$/);
    for (const other of ['challenge_ended_2d', 'a_challenge_ended', 'challenge_ende', 'challenge_ended\n', ''])
      expect(pattern.test(other)).toBe(false);
  });

  it.each(['a.b', 'a(b)|c', '^a$', 'a/b', 'a\\d', 'a[b]{2}', 'a*b+c?', 'a-b', 'ü 😀', 'a\nb', '/a/'])(
    'takes %j as it is',
    (group) => {
      const pattern = registered([defineEvent(group), defineEvent('other')]);
      expect([group, 'other'].map((one) => pattern.test(one))).toEqual([true, true]);
      expect([`${group}x`, `x${group}`, 'aXb', 'c', 'a5', ''].map((one) => pattern.test(one))).toEqual(
        Array(6).fill(false),
      );
    },
  );

  it('of a list matches each of its groups, and knows its definitions', () => {
    const [first, second] = [defineEvent('first'), defineEvent('second')];
    const { pattern, definitions } = groupPattern([first, second]);
    expect(pattern).toEqual(/^(?:first|second)$/);
    expect([...definitions!]).toEqual([
      ['first', first],
      ['second', second],
    ]);
  });

  const twice = [defineEvent('x'), defineEvent('x')];
  it.each([
    ['an empty list', [], /pattern of @GroupHandler is \[\]. Expected: at least one definition/],
    ['a group that is there twice', twice, /definitions of different groups; 'x' is there twice/],
    ['a function that is no definition', () => 1, /or what defineEvent returned/],
    ['a definer that has no group yet', defineEvent<string>(), /or what defineEvent returned/],
    ['text among definitions', [twice[0], 'y'], /is 'y'. Expected/],
    ['undefined, as in a circle of imports', undefined, /is undefined. Expected/],
  ])('refuses %s', (_, given, message) => {
    expect(() => groupPattern(given)).toThrow(InvalidOptionsError);
    expect(() => groupPattern(given)).toThrow(message);
  });
});
