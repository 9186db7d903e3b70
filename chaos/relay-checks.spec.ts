import { describe, expect, it } from 'vitest';
import { checkRelay } from './relay-checks.js';

const events = ['item_saved_1,1', 'outside_7', 'badge_1'];
const messages = [
  { id: 'item_saved_1,1', life: 1, at: 1_000 },
  { id: 'outside_7', life: 1, at: 1_000 },
];
const again = [...messages, { id: 'outside_7', life: 2, at: 3_000 }];
const none = { neverRelayed: [], relayedGhosts: [], relayedAgainWithoutFault: [] };

describe('the check of a relay', () => {
  it('finds nothing where the broker has each event that the relay should send', () => {
    expect(checkRelay(messages, events, [])).toEqual(none);
  });

  it('finds nothing in a round without a relay', () => {
    expect(checkRelay(undefined, events, [])).toEqual(none);
  });

  it('finds an event that the broker does not have', () => {
    expect(checkRelay(messages.slice(1), events, [])).toEqual({ ...none, neverRelayed: ['item_saved_1,1'] });
  });

  it('finds a message without an event', () => {
    expect(checkRelay(messages, events.slice(1), [])).toEqual({ ...none, relayedGhosts: ['item_saved_1,1'] });
  });

  it.each([
    ['no fault', []],
    ['a fault of another process', [{ life: 2, from: 1_500, to: 2_000 }]],
    ['a fault before the first', [{ from: 500, to: 900 }]],
  ])('finds a message that was sent again after %s', (_, faults) => {
    expect(checkRelay(again, events, faults).relayedAgainWithoutFault).toEqual([
      'outside_7: sent by 1 at 1000, then sent by 2 at 3000',
    ]);
  });

  it.each([
    ['of its process', { life: 1, from: 1_500, to: 2_000 }],
    ['of the broker', { from: 1_500, to: 2_000 }],
  ])('finds no message that was sent again after a fault %s', (_, fault) => {
    expect(checkRelay(again, events, [fault])).toEqual(none);
  });
});
