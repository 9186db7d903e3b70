import { describe, expect, it } from 'vitest';
import { userOf } from './user.js';

describe('who has sent a request', () => {
  it.each([
    [{ user: 'ada' }, 'ada'],
    [{ user: { id: 7 } }, '7'],
    [{ user: { id: 7, email: 'ada@example.org' } }, 'ada@example.org'],
    [{ user: { sub: 'a|1', username: 'ada' } }, 'ada'],
    [{ user: { name: '', username: 'ada' } }, 'ada'],
    [{ user: { name: { first: 'Ada' } } }, undefined],
    [{ user: null }, undefined],
    [{}, undefined],
    [undefined, undefined],
  ])('%j: %s', (request, user) => {
    expect(userOf(request)).toBe(user);
  });
});
