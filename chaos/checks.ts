import type { DataSource } from 'typeorm';
import type { Fault } from './crew.js';
import { checkLimits, type LimitFindings, type Recorded } from './limit-checks.js';
import { checkRelay, type RelayFindings } from './relay-checks.js';
import { type Call, repeatedWithoutFault } from './repetitions.js';
import type { Message } from './servers/companion.js';

/** What a round must end without: each list names what was found. */
export interface Findings extends LimitFindings, RelayFindings {
  /** Committed rows without their events. */
  readonly withoutEvent: readonly string[];
  /** Deliveries that are not done, or were completed without their handler having been called. */
  readonly neverHandled: readonly string[];
  /** Events of states that were never committed. */
  readonly ghosts: readonly string[];
  /** Events with more than one delivery for a handler, under all the names that it has had. */
  readonly doubledDeliveries: readonly string[];
  /** Events whose transactional handler has not had exactly one effect. */
  readonly doubledEffects: readonly string[];
  /** Deliveries that were given up although nothing is wrong with them. */
  readonly innocentDiscarded: readonly string[];
  /** Deliveries that kill their process, and were not given up. */
  readonly poisonLeft: readonly string[];
  /** Calls that were repeated though no fault had hit the process that made the first. */
  readonly repeatedWithoutFault: readonly string[];
}

interface Delivery {
  event_key: string;
  handler: string;
  state: string;
}

/** What there is besides the tables when a round is over. */
interface Outside extends Recorded {
  /** What hit processes. */
  readonly faults: readonly Fault[];
  /** What hit the companion. */
  readonly companionFaults: readonly Fault[];
  /** What relays have sent, in a round with one. */
  readonly messages: readonly Message[] | undefined;
}

/** Reads the tables with plain SQL: what was committed, what was entered, and what became of it. */
export async function check(db: DataSource, outside: Outside): Promise<Findings> {
  const { faults, companionFaults, messages } = outside;
  const expected = await expectedKeys(db);
  const events = await column(db, 'SELECT event_key AS value FROM spark_event');
  const entered = new Set(events);
  const deliveries: Delivery[] = await db.query(
    `SELECT e.event_key, d.handler, d.state FROM spark_event e JOIN spark_delivery d ON d.event_id = e.id`,
  );
  const calls = await plainCalls(db);
  const called = new Set(calls.map(({ key }) => key));
  const effects = counted(await column(db, 'SELECT event_key AS value FROM effect'));
  const isPoison = ({ handler }: Delivery) => handler === 'poison';
  const opened = counted(deliveries.map(({ event_key: key, handler }) => `${key} for ${nowOf(handler)}`));
  const innocent = deliveries.filter((delivery) => !isPoison(delivery));
  const isOver = ({ state }: Delivery) => state === 'completed' || state === 'discarded';
  const isOpened = (key: string) => handlersOf(key).every((handler) => opened.has(`${key} for ${handler}`));
  const isHandled = (key: string) => isOpened(key) && (key.startsWith('poison') || called.has(key));
  return {
    ...checkLimits(outside),
    ...checkRelay(messages, events, [...faults, ...companionFaults]),
    withoutEvent: [...expected.keys].filter((key) => !entered.has(key)),
    ghosts: events.filter((key) => !expected.keys.has(key) && !expected.mayBe(key)),
    neverHandled: [
      ...innocent.filter((delivery) => !isOver(delivery)).map(textOf),
      ...events.filter((key) => !isHandled(key)),
    ],
    doubledDeliveries: [...opened].filter(([, count]) => count > 1).map(([delivery]) => delivery),
    doubledEffects: events.filter((key) => /^item_(saved|due)_/.test(key) && effects.get(key) !== 1),
    innocentDiscarded: innocent.filter(({ state }) => state === 'discarded').map(textOf),
    poisonLeft: deliveries.filter((delivery) => isPoison(delivery) && delivery.state !== 'discarded').map(textOf),
    repeatedWithoutFault: repeatedWithoutFault(calls, faults),
  };
}

// Which handlers, as the next version calls them, get which events.
const HANDLERS: Record<string, RegExp> = {
  'next-plain': /^(item|family|outside|effect|badge)/,
  effects: /^item_(saved|due)/,
  entities: /^(family|badge)/,
  badges: /^badge/,
  rated: /^item_(saved|due)/,
  shared: /^(outside|family)/,
  poison: /^poison/,
};

const handlersOf = (key: string): string[] => Object.keys(HANDLERS).filter((handler) => HANDLERS[handler]!.test(key));

/** What the next version calls a handler. */
const nowOf = (handler: string): string => (handler === 'plain' ? 'next-plain' : handler);

/** The keys that committed rows stand for; others may be, as a family had fewer children before. */
async function expectedKeys(db: DataSource) {
  const keys = new Set<string>();
  const add = async (group: string, sql: string) => {
    for (const value of await column(db, sql)) keys.add(`${group}_${value}`);
  };
  await add('item_saved', `SELECT CONCAT(item_id, ',', version) AS value FROM trail`);
  await add('item_late', 'SELECT id AS value FROM item');
  await add('item_due', 'SELECT id AS value FROM item');
  await add('item_flagged', 'SELECT id AS value FROM item WHERE flag = 1');
  await add('outside', 'SELECT id AS value FROM outside');
  await add('badge', 'SELECT id AS value FROM badge');
  await add('effect', 'SELECT id AS value FROM effect');
  const children = counted(await column(db, 'SELECT family_id AS value FROM child'));
  for (const id of await column(db, 'SELECT id AS value FROM family')) {
    keys.add(`family_${id},${children.get(id) ?? 0}`);
  }
  const mayBe = (key: string) => {
    const [, id, count] = /^family_(\d+),(\d+)$/.exec(key) ?? [];
    return key.startsWith('poison_') || (id !== undefined && Number(count) < (children.get(id) ?? 0));
  };
  return { keys, mayBe };
}

/** The calls of plain handlers, which record them. */
export async function plainCalls(db: DataSource): Promise<Call[]> {
  const calls: { event_key: string; life: number; attempt: number; called_at: string }[] = await db.query(
    'SELECT event_key, life, attempt, called_at FROM calls',
  );
  return calls.map(({ event_key: key, life, attempt, called_at: at }) => ({
    key,
    life: Number(life),
    attempt,
    at: Number(at),
  }));
}

const textOf = ({ event_key: key, handler, state }: Delivery): string => `${key} for ${handler} is ${state}`;

async function column(db: DataSource, sql: string): Promise<string[]> {
  return (await db.query(sql)).map(({ value }: { value: unknown }) => String(value));
}

function counted(values: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}
