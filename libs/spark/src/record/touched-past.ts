import type { EntityManager, EntityMetadata } from 'typeorm';
import type { SparkClock } from '../common/clock.js';
import type { Counters } from '../common/counters.js';
import type { InitialState } from '../database/delivery-states.js';
import type { Dialect } from '../database/dialect.js';
import type { OwnConnection } from '../database/own-connection.js';
import { chunks } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import { hasOneConnection, isInMemory } from '../database/traits.js';
import { rootOf } from '../entity/entity-table.js';
import { sameKey, type SubjectRef } from '../entity/subject-ref.js';
import { linesOf } from '../error/text-of.js';
import { NotSynchronous, type Source } from '../source/source.js';
import type { SourceRegistry } from '../source/source.registry.js';
import { addGroups } from '../store/activation.js';
import type { Adoption } from '../store/adoption.js';
import type { Ledger } from '../store/ledger.js';
import type { Rechecks } from '../store/rechecks.js';
import { type Capture, MOST_IN_TRANSACTION } from './capture.js';
import type { Derivation } from './derivation.js';

/** What the recorder does for the past. */
interface PastRecorder {
  derivePast(manager: EntityManager, source: Source, ids: readonly string[], instant: number): Promise<Derivation>;
  enterPast(manager: EntityManager, derivation: Derivation, now: number, state: InitialState): Promise<void>;
}

const NONE: ReadonlySet<string> = new Set();
/** How many entities are read at once. */
const ENTITIES = 500;
// How often a process reads which sources others have adopted, in milliseconds.
const LEARNED_EVERY = 1_000;
// After a failure, transactions do not wait for the past for so long, in milliseconds.
const REST = 30_000;

/**
 * What was true of entities before a transaction changes them. Until Spark has adopted a source, the ledger does not have that, and the
 * transaction would deliver it as if it were new. So just before the COMMIT, another connection reads the entities: it sees them as they
 * were before the transaction. Their events are entered as a first sweep would enter them. Sources that wait are left out: they may read
 * what the transaction has written, or keep it from its commit.
 */
export class TouchedPast {
  private isClosed = false;
  /** How many transactions use the connection. */
  private users = 0;
  private learnedAt = -Infinity;
  private restsUntil = -Infinity;

  constructor(
    private readonly connection: OwnConnection,
    private readonly database: { readonly dialect: Dialect; readonly tables: TableNames },
    private readonly sources: SourceRegistry,
    private readonly adoption: Adoption,
    private readonly rechecks: Rechecks,
    private readonly ledger: Ledger,
    private readonly clock: SparkClock,
    private readonly counters: Counters,
    private readonly recorder: () => PastRecorder,
  ) {}

  /** Whether a transaction has changed or touched entities that a source has not seen yet. */
  isNeeded(manager: EntityManager, capture: Capture, touched: readonly SubjectRef[]): boolean {
    return !this.isClosed && this.mayHaveOpen(capture, touched) && !isInMemory(manager.dataSource);
  }

  /**
   * Enters what was true of the entities that a transaction has changed or touched. Returns the keys of these events, which the transaction
   * does not enter: it may not see them. If the former state cannot be read, this is logged, and the transaction goes on.
   */
  async enter(manager: EntityManager, capture: Capture, touched: readonly SubjectRef[]): Promise<ReadonlySet<string>> {
    if (performance.now() < this.restsUntil) return NONE;
    this.users++;
    try {
      await this.learn();
      return await this.enterAll(manager, capture, touched);
    } catch (error) {
      this.restsUntil = performance.now() + REST;
      this.report('all sources', error);
      return NONE;
    } finally {
      this.users--;
    }
  }

  /** Closes the connection, unless it is used or may be needed. */
  async closeIfUnused(): Promise<void> {
    if (this.users === 0 && !this.hasOpen) await this.connection.close();
  }

  /** Closes the connection for good. */
  close(): Promise<void> {
    this.isClosed = true;
    return this.connection.close();
  }

  private get hasOpen(): boolean {
    return this.sources.all().some((source) => this.isOpen(source));
  }

  private isOpen(source: Source): boolean {
    return source.live && !source.waits && this.adoption.isOpen(source);
  }

  private openOf(root: EntityMetadata): Source[] {
    return this.sources.liveOf(root).filter((source) => this.isOpen(source));
  }

  private mayHaveOpen({ subjects, rechecks, added }: Capture, touched: readonly SubjectRef[]): boolean {
    if (!this.hasOpen) return false;
    const roots = new Set(added.keys());
    for (const { ref, isNew } of subjects.values()) if (!isNew) roots.add(ref.root);
    for (const { root } of [...rechecks.values(), ...touched]) roots.add(root);
    return [...roots].some((root) => this.openOf(root).length > 0);
  }

  /** Learns which sources other processes have adopted. */
  private async learn(): Promise<void> {
    if (performance.now() - this.learnedAt < LEARNED_EVERY) return;
    await this.connection.beside((beside) => this.adoption.reload(beside));
    this.learnedAt = performance.now();
  }

  private async enterAll(manager: EntityManager, capture: Capture, touched: readonly SubjectRef[]) {
    const changed = await this.changed(manager, capture, touched);
    const keys = new Set<string>();
    for (const [root, ids] of changed)
      for (const part of chunks([...ids], ENTITIES))
        for (const source of this.openOf(root)) {
          const past = await this.enterPart(manager, source, part);
          // More entities are recorded by rechecks, which see what is in the ledger.
          if (capture.subjects.size <= MOST_IN_TRANSACTION) for (const key of past) keys.add(key);
        }
    return keys;
  }

  /** The ids of the entities that the transaction has changed or touched, and has not inserted. */
  private async changed(
    manager: EntityManager,
    { subjects, rechecks, added }: Capture,
    touched: readonly SubjectRef[],
  ) {
    const changed = new Map<EntityMetadata, Set<string>>();
    const add = (root: EntityMetadata, id: string) => changed.set(root, (changed.get(root) ?? new Set()).add(id));
    for (const { ref, isNew } of subjects.values()) if (!isNew) add(ref.root, ref.id);
    for (const { root, id } of [...rechecks.values(), ...touched]) add(root, id);
    for (const [root, instants] of added)
      if (this.openOf(root).length > 0)
        for (const id of await this.rechecks.addedAt(manager, root, instants)) add(root, sameKey(root, id));
    return changed;
  }

  private enterPart(manager: EntityManager, source: Source, ids: readonly string[]): Promise<ReadonlySet<string>> {
    // An application that ends would wait for a connection that is opened now.
    if (this.isClosed) return Promise.resolve(NONE);
    return this.connection.beside(async (beside) => {
      const derivation = await this.before(beside, source, ids);
      const keys = new Set(derivation.found.map(({ key }) => key));
      derivation.found = await this.ledger.unknown(beside, derivation.found);
      if (derivation.found.length + derivation.conditions.begun.size === 0) return keys;
      // SQLite has one writer at a time, which is the transaction itself.
      const writer = hasOneConnection(manager.dataSource) ? manager : beside;
      const state = this.adoption.stateOf(source, { at: null }, false);
      await this.recorder().enterPast(writer, derivation, this.clock.now(), state);
      // The sweep that ends the first one of these groups decides on what is held.
      await addGroups(writer, this.database, source.name, [...new Set(derivation.found.map(({ group }) => group))]);
      return keys;
    });
  }

  /**
   * What a source yielded for entities when its past ended, given their committed state. An entity that waits for a recheck is left out: an
   * earlier change has been committed, and only the recheck tells what that has made true. This is read after the entities, so that an
   * earlier change that they show still waits, or its events are in the ledger.
   */
  private async before(beside: EntityManager, source: Source, ids: readonly string[]): Promise<Derivation> {
    const root = rootOf(source.metadata);
    const derivation = await this.recorder().derivePast(beside, source, ids, this.adoption.pastUntil(source));
    const [failure] = derivation.failures;
    if (failure?.error instanceof NotSynchronous) source.waits = true;
    else if (failure) this.report(source.name, failure.error);
    const waiting = await this.rechecks.seen(beside, root, ids, this.clock.now());
    derivation.leaveOut(new Set([...waiting].map((id) => sameKey(root, id))));
    return derivation;
  }

  private report(source: string, error: unknown): void {
    const message = () =>
      `Spark could not find out what was true of entities before a transaction has changed them (${source}), so that handlers may get that ` +
      `as new. ${linesOf(error)}`;
    this.counters.report('failedEntities', source, message, { source, error });
  }
}
