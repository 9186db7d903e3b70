import type { Fault } from './crew.js';
import { RELAY } from './faults.js';
import { repeatedWithoutFault } from './repetitions.js';
import type { Message } from './servers/companion.js';

/** What must not be found of the messages that relays have sent. */
export interface RelayFindings {
  /** Events that the relay should have sent, and that the broker does not have. */
  readonly neverRelayed: readonly string[];
  /** Messages of which there is no event. */
  readonly relayedGhosts: readonly string[];
  /** Messages that were sent again though no fault had hit the process that sent the first, or the broker. */
  readonly relayedAgainWithoutFault: readonly string[];
}

/**
 * Checks what the broker has.
 *
 * @param messages undefined in a round without a relay
 * @param faults those of processes and of the broker
 */
export function checkRelay(
  messages: readonly Message[] | undefined,
  events: readonly string[],
  faults: readonly Fault[],
): RelayFindings {
  if (!messages) return { neverRelayed: [], relayedGhosts: [], relayedAgainWithoutFault: [] };
  const [ids, keys] = [new Set(messages.map(({ id }) => id)), new Set(events)];
  return {
    neverRelayed: events.filter((key) => RELAY.groups.test(key) && !ids.has(key)),
    relayedGhosts: [...ids].filter((id) => !keys.has(id)),
    relayedAgainWithoutFault: repeatedWithoutFault(callsOf(messages), faults),
  };
}

/** The calls of the relay that have sent messages. */
export const callsOf = (messages: readonly Message[]) => messages.map(({ id, life, at }) => ({ key: id, life, at }));
