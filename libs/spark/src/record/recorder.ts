import type { EntityManager, EntityMetadata } from 'typeorm';
import type { Adoption } from '../store/adoption.js';
import type { Condition, Conditions } from '../store/conditions.js';
import type { Recheck, Rechecks } from '../store/rechecks.js';
import type { SparkClock } from '../common/clock.js';
import type { Counters } from '../common/counters.js';
import { ChainTooDeepError } from '../error/chain-too-deep.error.js';
import { backoffDelay } from '../config/backoff.js';
import type { InitialState } from '../database/delivery-states.js';
import { withRunner } from '../database/statement.js';
import { CHAIN_START, chainLink } from '../event/chain.js';
import type { ContextCodec } from '../event/context-codec.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { ChainLink } from '../event/work-context.js';
import type { Interceptors } from '../interceptor/interceptors.js';
import type { Entering, InitialStateOf, Ledger, LedgerEntry } from '../store/ledger.js';
import { NotSynchronous, type Source } from '../source/source.js';
import type { SourceRegistry } from '../source/source.registry.js';
import { rootOf } from '../entity/entity-table.js';
import type { SubjectRef } from '../entity/subject-ref.js';
import { readSubjects, type Subject } from '../entity/subjects.js';
import { touchedKeys } from '../source/touches.js';
import type { WrittenRows } from '../entity/written-rows.js';
import { type Capture, type CapturedSubject, MOST_IN_TRANSACTION } from './capture.js';
import { ConditionChanges, type IsPast } from './condition-changes.js';
import { Derivation, type Failure } from './derivation.js';
import { inHalves } from './in-halves.js';
import type { TouchedPast } from './touched-past.js';
import { linesOf, shown } from '../error/text-of.js';

/** The past of a recheck: how often it has failed, and which events led to it. */
export interface Past extends ChainLink {
  readonly attempt: number;
}

/** The result of a recording, which Spark publishes after the commit. */
export interface RecordResult {
  readonly events: SparkEvent[];
  /** The events that were to be entered, and were in the ledger already. */
  readonly known: readonly SparkEvent[];
  /** The names of the handlers that deliveries were opened for, and are available. */
  readonly handlers: readonly string[];
  /** Whether rechecks were added. */
  readonly rechecks: boolean;
}

export const NOTHING_RECORDED: RecordResult = { events: [], known: [], handlers: [], rechecks: false };

const NO_KEYS: ReadonlySet<string> = new Set();

/** How events are entered. */
type Recording = Entering & {
  readonly emitted?: readonly LedgerEntry[];
  /** The keys of derived events that are not entered. */
  readonly without?: ReadonlySet<string>;
  /** Whether the events derive from committed state, in a transaction that changes no entity. */
  readonly changesNothing?: boolean;
};

/**
 * Records inside a transaction: subjects → sources derive events → the ledger enters them and opens deliveries → rechecks are added.
 */
export class Recorder {
  private readonly changes: ConditionChanges;

  constructor(
    private readonly sources: SourceRegistry,
    private readonly ledger: Ledger,
    private readonly rechecks: Rechecks,
    private readonly conditions: Conditions,
    private readonly rows: WrittenRows,
    private readonly codec: ContextCodec,
    private readonly clock: SparkClock,
    private readonly counters: Counters,
    private readonly interceptors: Interceptors,
    private readonly adoption: Adoption,
    private readonly past: TouchedPast,
  ) {
    this.changes = new ConditionChanges(conditions, counters);
  }

  /**
   * Records what a transaction of the application has changed, just before it commits.
   *
   * @param isCommitted whether the changes are committed already, so that nothing shows what was true before them
   */
  async record(manager: EntityManager, capture: Capture, isCommitted = false): Promise<RecordResult> {
    const now = this.clock.now();
    const derivation = new Derivation(now, undefined, this.interceptors.aroundSource);
    const touched = capture.touched.size === 0 ? [] : await this.touchedBy(manager, capture);
    const isPastNeeded = !isCommitted && this.past.isNeeded(manager, capture, touched);
    const without = isPastNeeded ? await this.past.enter(manager, capture, touched) : undefined;
    const again = [...capture.rechecks.values(), ...touched];
    for (const [root, subjects] of byRoot(capture.subjects.values())) {
      const sources = this.sources.liveOf(root);
      const own = capture.subjects.size > MOST_IN_TRANSACTION ? [] : sources.filter(({ ownRow }) => ownRow);
      if (own.length < sources.length) again.push(...subjects.map(({ ref }) => ref));
      await this.deriveNow(manager, derivation, own, subjects);
    }
    const { depth, cause } = chainLink();
    derivation.rechecks.push(
      ...again.map((ref) => ({ ref, due: now, attempt: 0, depth, cause })),
      ...this.retries(derivation.failures, now),
    );
    return this.enter(manager, derivation, now, { emitted: capture.entries, without, likelyNew: capture.isNew });
  }

  /** The entities that captured changes touch by a relation of a source. */
  private async touchedBy(manager: EntityManager, { touched }: Capture): Promise<SubjectRef[]> {
    const refs: SubjectRef[] = [];
    for (const [rule, ids] of touched) {
      const keys = await touchedKeys(manager, rule, [...ids]);
      refs.push(...keys.map((id) => ({ root: rule.root, id })));
    }
    return refs;
  }

  /**
   * Runs sources on entities by their keys. The sources derive from a state that was committed when it was read. While they run, they
   * hold no connection, except that of a manager in a transaction. If the entities of a source cannot be read, only this source fails.
   */
  async derive(
    manager: EntityManager,
    sources: readonly Source[],
    ids: readonly string[],
    now: number,
    past: ReadonlyMap<string, Past> = new Map(),
  ): Promise<Derivation> {
    // The entity of a batch's event may be unknown. Then the smallest depth counts, so that the event is not taken for too deep.
    const present = chainLink();
    const [least = present] = [...past.values()].toSorted((a, b) => a.depth - b.depth);
    const linkOf = (ref: SubjectRef | undefined) => (ref ? (past.get(ref.id) ?? present) : least);
    const derivation = new Derivation(now, linkOf, this.interceptors.aroundSource);
    for (const source of sources) {
      if (source.options.trueFor) await this.runLasting(manager, derivation, source, ids);
      else await derivation.run(source, await this.read(manager, derivation, source, ids));
    }
    return derivation;
  }

  /** The conditions of entities that a source is not about any more. */
  async deriveGone(
    manager: EntityManager,
    source: Source,
    conditions: readonly Condition[],
    now: number,
  ): Promise<Derivation> {
    const derivation = new Derivation(now);
    derivation.conditions.know(source, conditions);
    const ids = [...new Set(conditions.map(({ entityId }) => entityId))];
    this.endAbsent(derivation, source, ids, await this.read(manager, derivation, source, ids));
    return derivation;
  }

  /** Reads what lasts before it reads the entities, so that a row that it has read was there when they were read. */
  private async runLasting(manager: EntityManager, derivation: Derivation, source: Source, ids: readonly string[]) {
    derivation.conditions.know(source, await this.conditions.of(manager, source, ids));
    const subjects = await this.read(manager, derivation, source, ids);
    this.endAbsent(derivation, source, ids, subjects);
    await derivation.run(source, subjects);
  }

  private endAbsent(derivation: Derivation, source: Source, ids: readonly string[], subjects: readonly Subject[]) {
    const root = rootOf(source.metadata);
    const unread = derivation.failures.filter((failure) => failure.source === source);
    const kept = new Set([...subjects, ...unread].map(({ ref }) => ref.id));
    for (const id of ids) if (!kept.has(id)) derivation.conditions.end(source, { root, id });
  }

  /** Reads the entities of a source, and holds no connection afterwards. If a row cannot be read, only that row fails. */
  private async read(
    manager: EntityManager,
    derivation: Derivation,
    source: Source,
    ids: readonly string[],
  ): Promise<Subject[]> {
    const subjects: Subject[] = [];
    const root = rootOf(source.metadata);
    const readPart = (part: readonly string[]) =>
      withRunner(manager, async ({ manager: own }) => {
        subjects.push(...(await inSavepoint(own, (inner) => readSubjects(inner, source, part))));
      });
    const fail = (part: readonly string[], error: unknown) => {
      const refs = part.map((id) => ({ root, id }));
      derivation.fail(source, refs, error);
    };
    const error = await inHalves(ids, readPart, fail);
    if (error !== undefined) derivation.givenUp.set(source, error);
    return subjects;
  }

  /** Runs a source on entities that are already read. */
  async deriveFrom(source: Source, subjects: readonly Subject[], now: number): Promise<Derivation> {
    const derivation = new Derivation(now, undefined, this.interceptors.aroundSource);
    await derivation.run(source, subjects);
    return derivation;
  }

  /** Drops the events whose keys are in the ledger. */
  async dropKnown(manager: EntityManager, derivation: Derivation): Promise<void> {
    derivation.found = await this.ledger.unknown(manager, derivation.found);
  }

  /** Enters the derived events and adds the rechecks. Rechecks come last, so that nothing is locked after them. */
  async enter(
    manager: EntityManager,
    derivation: Derivation,
    now: number,
    { emitted = [], without, changesNothing, likelyNew, initialStateOf }: Recording = { likelyNew: false },
  ): Promise<RecordResult> {
    const { rechecks } = derivation;
    const found = await derivation.written(this.codec, this.interceptors.stamp);
    const isPast: IsPast = (one) => this.adoption.isPast(one, initialStateOf?.(one) ?? 'available');
    // Saves wait for this, and each `await` costs time. Most have no conditions.
    const { isEmpty, lasting } = derivation.conditions;
    const more = isEmpty ? [] : await this.changes.write(manager, derivation, this.clock.now(), isPast);
    const lost = lasting.size === 0 ? NO_KEYS : await this.changes.lost(manager, derivation.conditions, found);
    const derived = found.filter(({ key }) => !lost.has(key) && !without?.has(key));
    const entries = emitted.length === 0 ? derived : [...emitted, ...derived];
    const how = { likelyNew, initialStateOf: this.statesOf(derivation, initialStateOf) };
    const entered = await this.ledger.enter(manager, entries, now, how);
    const all = more.length === 0 ? rechecks : [...rechecks, ...more];
    if (all.length > 0) await this.rechecks.add(manager, all, now, changesNothing);
    for (const error of derivation.refused) {
      const { source = '', key } = error instanceof ChainTooDeepError ? error : error.origin;
      this.counters.refuse(source, key, error.message);
    }
    return { ...entered, rechecks: all.length > 0 };
  }

  /** Runs a source that does not wait on entities as they were before a transaction, for an instant that is past. */
  async derivePast(
    manager: EntityManager,
    source: Source,
    ids: readonly string[],
    instant: number,
  ): Promise<Derivation> {
    const derivation = new Derivation(instant, () => CHAIN_START, this.interceptors.aroundSource);
    derivation.conditions.know(source, await this.conditions.of(manager, source, ids));
    await derivation.runNow(source, await readSubjects(manager, source, ids));
    return derivation;
  }

  /**
   * Enters what was true before a transaction of the application has changed an entity. It adds no rechecks: the transaction adds one if
   * anything lasts.
   */
  async enterPast(manager: EntityManager, derivation: Derivation, now: number, state: InitialState): Promise<void> {
    const found = await derivation.written(this.codec);
    await this.changes.beginPast(manager, derivation.conditions);
    await this.ledger.enter(manager, found, now, { initialStateOf: () => state, likelyNew: true });
  }

  /** How deliveries are opened, with regard to what was true before Spark saw the source. */
  private statesOf(
    { conditions: { lasting } }: Derivation,
    given: InitialStateOf | undefined,
  ): InitialStateOf | undefined {
    if (lasting.size === 0) return given;
    return (event) => {
      const state = given?.(event) ?? 'available';
      return state === 'available' && lasting.get(event.key)?.isPast ? this.adoption.stateOfLasting(event) : state;
    };
  }

  /**
   * Rechecks for subjects that sources failed for, with growing delays. It also logs the failures, at most one line a minute for each
   * source.
   */
  retries(failures: readonly Failure[], now: number, past: ReadonlyMap<string, Past> = new Map()): Recheck[] {
    return failures.map(({ source, ref, error }) => {
      const { depth, cause } = past.get(ref.id) ?? chainLink();
      if (error instanceof NotSynchronous) {
        source.ownRow = false;
        source.waits = true;
        return { ref, due: now, attempt: 0, depth, cause };
      }
      const attempt = (past.get(ref.id)?.attempt ?? 0) + 1;
      this.report(source, ref, error, attempt);
      return { ref, due: now + backoffDelay(attempt), attempt, depth, cause };
    });
  }

  /** Runs own-row sources on the rows as the transaction will commit them. */
  private async deriveNow(
    manager: EntityManager,
    derivation: Derivation,
    sources: readonly Source[],
    captured: readonly CapturedSubject[],
  ): Promise<void> {
    const ids = captured.map(({ ref }) => ref.id);
    const isNew = captured.every((subject) => subject.isNew);
    const plain = new Map<EntityMetadata, Subject[]>();
    for (const source of sources) {
      const isPlain = !source.options.where && !source.options.withDeleted;
      const subjects = (isPlain && plain.get(source.metadata)) || (await this.rows.read(manager, source, ids, isNew));
      if (isPlain) plain.set(source.metadata, subjects);
      await derivation.runNow(source, subjects);
    }
  }

  private report(source: Source, { root, id }: SubjectRef, error: unknown, attempt: number): void {
    const message = () =>
      `${shown(source.name)} failed for ${root.name} ${shown(id)}, attempt ${attempt}. Spark rechecks this entity later, and goes on ` +
      `with all others. ${linesOf(error)}`;
    this.counters.report('failedEntities', source.name, message, {
      source: source.name,
      entity: root.name,
      entityId: id,
      attempt,
      error,
    });
  }
}

function byRoot(subjects: Iterable<CapturedSubject>): Map<EntityMetadata, CapturedSubject[]> {
  const groups = new Map<EntityMetadata, CapturedSubject[]>();
  for (const subject of subjects) {
    const group = groups.get(subject.ref.root);
    if (group) group.push(subject);
    else groups.set(subject.ref.root, [subject]);
  }
  return groups;
}

/** Runs reads that may fail, in a savepoint: on PostgreSQL, a statement that fails would end the whole transaction. */
export function inSavepoint<T>(manager: EntityManager, work: (manager: EntityManager) => Promise<T>): Promise<T> {
  return manager.queryRunner?.isTransactionActive ? manager.transaction(work) : work(manager);
}
