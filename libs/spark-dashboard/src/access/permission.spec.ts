import { describe, expect, it } from 'vitest';
import { isAccess, Permission } from './permission.js';

describe('what a request may do', () => {
  it.each([
    ['all', true, true, true],
    ['read', true, false, false],
    [['retry'], true, true, false],
    [[], true, false, false],
    [false, false, false, false],
    [undefined, false, false, false],
    [true, false, false, false],
    ['ALL', false, false, false],
    [{ retry: true }, false, false, false],
  ] as const)('%j: it reads %s, retries %s, discards %s', (granted, mayRead, mayRetry, mayDiscard) => {
    const permission = new Permission(granted as never);
    expect([permission.mayRead, permission.may('retry'), permission.may('discard')]).toEqual([
      mayRead,
      mayRetry,
      mayDiscard,
    ]);
  });

  it('an unknown action in the list makes it invalid', () => {
    expect([isAccess(['retry']), isAccess(['retries']), isAccess(undefined), isAccess(true)]).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });
});
