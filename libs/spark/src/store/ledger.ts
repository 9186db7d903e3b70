import type { EntityManager, EntityMetadata } from 'typeorm';
import type { Dialect, Opened, Owner } from '../database/dialect.js';
import { contentLength, type Entry } from '../database/event-columns.js';
import { openByKey } from '../database/event-insert.js';
import { lookedUp } from '../database/key-ranges.js';
import type { InitialState } from '../database/delivery-states.js';
import { yieldToEventLoop, isBlocking } from '../common/event-loop.js';
import type { TableNames } from '../database/table-names.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { Counters } from '../common/counters.js';
import { shown } from '../error/text-of.js';
import type { GroupState, RegisteredHandlers } from './registered-handlers.js';

/** An event that is ready to be entered. */
export type LedgerEntry = Entry & { readonly event: SparkEvent };

/** The key of an event, and where it came from. */
type Identity = Pick<Entry, 'key' | 'group' | 'entity' | 'entityId' | 'source'>;

/** Decides in which state the deliveries of an event are opened. */
export type InitialStateOf = (event: Pick<Entry, 'key' | 'group' | 'source' | 'at'>) => InitialState;

/** How events are entered. */
export interface Entering {
  /** How the deliveries of an event are opened. Default: `available`. */
  readonly initialStateOf?: InitialStateOf;
  /** Whether most of the events are probably new. */
  readonly likelyNew: boolean;
}

/** What was new, and what was not. */
export interface EnteredEvents {
  readonly events: SparkEvent[];
  /** The events whose keys were in the ledger already. */
  readonly known: SparkEvent[];
  /** The names of the handlers that deliveries were opened for, and are available. */
  readonly handlers: readonly string[];
}

const ROWS = 1_000;
// MariaDB accepts statements of 16 MB by default, and a character may take three bytes.
const CHARACTERS = 4_000_000;
// SQLite blocks the process during each statement.
const ROWS_AT_ONCE = 200;

/** The ledger. It enters each key once, and opens the deliveries of the events that it has entered. */
export class Ledger {
  constructor(
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
    private readonly handlers: RegisteredHandlers,
    private readonly counters: Counters,
    /** The entity that has this name in the rows of the tables. */
    private readonly rootNamed: (text: string) => EntityMetadata | undefined,
  ) {}

  /** Enters events in the manager's transaction, and returns what is new. `initialStateOf` decides how deliveries are opened. */
  async enter(
    manager: EntityManager,
    entries: readonly LedgerEntry[],
    now: number,
    { initialStateOf, likelyNew }: Entering,
  ): Promise<EnteredEvents> {
    const events: SparkEvent[] = [];
    const known: SparkEvent[] = [];
    const handlers = new Set<string>();
    const rows = this.dialect.skipsLocked ? ROWS : ROWS_AT_ONCE;
    for (const part of parts(this.sorted(entries), rows)) {
      while (isBlocking()) await yieldToEventLoop();
      // Another transaction may read the registry meanwhile.
      const { revision: matched } = this.handlers;
      const opened = this.openedFor(part, initialStateOf);
      const { fresh, others, revision } = await this.dialect.enter(manager, {
        entries: part,
        opened,
        now,
        likelyNew,
      });
      if (fresh.size > 0) {
        const groups = new Set(part.filter(({ key }) => fresh.has(key)).map(({ group }) => group));
        const count = (all: readonly Opened[]) => availableOf(all, groups).forEach((name) => handlers.add(name));
        count(opened);
        if (revision !== matched) {
          // Another process has registered handlers since this one read the registry.
          await this.handlers.reload(manager);
          const more = this.besides(opened, this.openedFor(part, initialStateOf));
          await openByKey(manager, this.tables, more, [...fresh], now);
          count(more);
        }
      }
      for (const entry of part) {
        if (fresh.has(entry.key)) {
          events.push(entry.event);
          if (initialStateOf?.(entry) !== 'discarded') this.countUnhandled(entry);
        } else {
          known.push(entry.event);
          this.reportOwner(entry, others.get(entry.key));
        }
      }
    }
    return { events, known, handlers: [...handlers] };
  }

  /** Returns the events whose keys are not in the ledger. It reports those whose key belongs to another group or entity. */
  async unknown<E extends Identity>(manager: EntityManager, events: readonly E[]): Promise<E[]> {
    const unknown: E[] = [];
    for await (const { left, owners } of lookedUp(manager, this.dialect, events))
      for (const event of left) {
        const owner = owners.get(event.key);
        if (owner) this.reportOwner(event, owner);
        else unknown.push(event);
      }
    return unknown;
  }

  // Every transaction enters keys in the same order. Two transactions with the same keys then wait for each other and do not deadlock.
  private sorted(entries: readonly LedgerEntry[]): LedgerEntry[] {
    const byKey = new Map<string, LedgerEntry>();
    for (const entry of entries) {
      const twin = byKey.get(entry.key);
      if (!twin) byKey.set(entry.key, entry);
      else this.reportOwner(entry, twin);
    }
    return [...byKey.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** The handlers of the events that this process knows at the moment. */
  private openedFor(entries: readonly LedgerEntry[], initialStateOf: InitialStateOf | undefined): readonly Opened[] {
    if (!initialStateOf) return this.handlers.openedFor(groupsOf(entries));
    return this.handlers.openedIn(statesOf(entries, initialStateOf));
  }

  /** Reports an event that is not entered, because its key belongs to another group or entity. */
  private reportOwner(entry: Identity, owner: Owner | undefined): void {
    if (!owner) return;
    const { key, group, source } = entry;
    if (owner.group !== group)
      return this.counters.report(
        'collidingKeys',
        group,
        () =>
          `The event ${shown(key)} of the group ${shown(group)} is not entered: the group ${shown(owner.group)} has entered ` +
          `that key. Keys are unique across all groups: give the event another key.`,
        { key, group, source, ownerGroup: owner.group },
      );
    if (!this.isOtherEntity(owner, entry)) return;
    const of = ({ entity, entityId }: Owner) => `${this.rootNamed(entity!)?.name} ${shown(entityId)}`;
    // A source may yield one key from many entities on purpose, so this is reported once only.
    this.counters.reportOnce(
      'collidingKeys',
      `${source} ${group}`,
      () =>
        `The event ${shown(key)} of ${of(entry)} (${shown(source)}) is not entered: ${of(owner)} has entered that key. Keys are unique ` +
        `across all entities: give the events of each entity a group of their own. If the entities share the key on purpose, ` +
        `ignore this line. It appears once for a source and group; SparkService.status() counts all such events.`,
      { key, group, source, entityId: entry.entityId, ownerEntityId: owner.entityId },
    );
  }

  private countUnhandled({ key, group }: LedgerEntry): void {
    if (this.handlers.matching(group).length > 0) return;
    this.counters.reportOnce(
      'eventsWithoutHandler',
      group,
      () =>
        `The event ${shown(key)} has no delivery: no handler that is registered matches its group ${shown(group)}. If you add ` +
        `one later, SparkService.replay({ handler }) delivers the events that it missed.`,
      { key, group },
    );
  }

  /** The part of `all` that is not in `opened`. A handler has its deliveries under one of its names. */
  private besides(opened: readonly Opened[], all: readonly Opened[]): Opened[] {
    const known = (group: string, name: string) =>
      opened.some((one) => one.groups.includes(group) && this.handlers.namesOf(name).includes(one.name));
    return all
      .map((one) => ({ ...one, groups: one.groups.filter((group) => !known(group, one.name)) }))
      .filter(({ groups }) => groups.length > 0);
  }

  // Emitted events, and some events of a batch, name no entity. The first release stored class names; a class that was renamed since is
  // unknown. Both count as the same entity.
  private isOtherEntity(owner: Owner, entry: Owner): boolean {
    if (owner.entityId === null || entry.entityId === null) return false;
    const [theirs, ours] = [owner, entry].map(({ entity }) => this.rootNamed(entity!));
    if (!theirs || !ours) return false;
    return theirs !== ours || owner.entityId !== entry.entityId;
  }
}

const groupsOf = (entries: readonly LedgerEntry[]): string[] => [...new Set(entries.map(({ group }) => group))];

function statesOf(entries: readonly LedgerEntry[], initialStateOf: InitialStateOf): GroupState[] {
  const groups = new Map<string, Map<InitialState, Set<string>>>();
  for (const entry of entries) {
    const states = groups.get(entry.group) ?? new Map<InitialState, Set<string>>();
    groups.set(entry.group, states);
    const state = initialStateOf(entry);
    states.set(state, (states.get(state) ?? new Set()).add(entry.key));
  }
  return [...groups].flatMap(([group, states]) =>
    [...states].map(([initialState, keys]) =>
      states.size > 1 ? { group, initialState, keys } : { group, initialState },
    ),
  );
}

/** The names of the handlers that get deliveries of some groups, which are available. */
const availableOf = (opened: readonly Opened[], groups: ReadonlySet<string>): string[] =>
  opened
    .filter(({ initialState, groups: of }) => initialState === 'available' && of.some((group) => groups.has(group)))
    .map(({ name }) => name);

/** Splits events into parts that fit into one statement each, even if their contexts are long. */
function* parts(entries: readonly LedgerEntry[], rows: number): Iterable<LedgerEntry[]> {
  let part: LedgerEntry[] = [];
  let characters = 0;
  for (const entry of entries) {
    const length = contentLength(entry);
    if (part.length === rows || (part.length > 0 && characters + length > CHARACTERS)) {
      yield part;
      part = [];
      characters = 0;
    }
    part.push(entry);
    characters += length;
  }
  if (part.length > 0) yield part;
}
