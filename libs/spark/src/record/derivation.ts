import { yieldToEventLoop, isBlocking } from '../common/event-loop.js';
import type { Recheck } from '../store/rechecks.js';
import { apart } from '../common/boot-context.js';
import { checkEvent, NEVER } from '../event/event-check.js';
import { CHAIN_START, chainLink, DEEPEST, isLate, isTooDeep, pauseOf } from '../event/chain.js';
import type { ContextCodec } from '../event/context-codec.js';
import { checkContext } from '../event/context-schema.js';
import { writeMetadata } from '../event/event-metadata.js';
import { idText, idTextIn } from '../event/event-key.js';
import { eventSince, type Lasting, lasts, lengthOf } from '../event/lasting.js';
import { eventsAt, mostMissedOf, repeats } from '../event/repetitions.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { ChainLink } from '../event/work-context.js';
import { ChainTooDeepError } from '../error/chain-too-deep.error.js';
import { InvalidEventError } from '../error/invalid-event.error.js';
import { messageOf } from '../error/wording.js';
import type { Around } from '../interceptor/around.js';
import type { InterceptedSource } from '../interceptor/spark-interceptor.decorator.js';
import type { LedgerEntry } from '../store/ledger.js';
import { eventsNow, type Source } from '../source/source.js';
import { rootOf, tableOf } from '../entity/entity-table.js';
import { idsOf, isExact, type SubjectRef } from '../entity/subject-ref.js';
import type { Subject } from '../entity/subjects.js';
import { SeenConditions } from './seen-conditions.js';
import { runSource, runWithin, type SourceCalls } from './run-source.js';

/** A source that failed, and the subject that it failed for. */
export interface Failure {
  readonly source: Source;
  readonly ref: SubjectRef;
  readonly error: unknown;
}

/**
 * An event that is not true yet, and the entity to recheck at its `at`. The entity is unknown for an event of a batch with a key of its
 * own.
 */
export interface FutureEvent {
  readonly event: SparkEvent;
  readonly at: number;
  readonly ref: SubjectRef | undefined;
}

/**
 * The verdict on an event that a source yielded: `true` is entered now; `later` has an `at` in the future; `over` has an `until` in the
 * past; `never` has an `at` that is not set; `refused` cannot be entered.
 */
export type Verdict = 'true' | 'later' | 'over' | 'never' | 'refused';

/** Judges an event at an instant. */
export function judge(event: SparkEvent, now: number): { verdict: Verdict; reason?: string } {
  const reason = checkEvent(event);
  if (reason === NEVER) return { verdict: 'never' };
  if (reason !== undefined) return { verdict: 'refused', reason };
  if (event.until && event.until.getTime() <= now) return { verdict: 'over' };
  return event.at && event.at.getTime() > now ? LATER : TRUE;
}

const TRUE = { verdict: 'true' } as const;
const LATER = { verdict: 'later' } as const;

/** Judges an event with `trueFor`, without regard to how long it lasts. */
export function judgeLasting(
  event: SparkEvent,
  source: Source,
  subject: Subject | undefined,
  now: number,
): ReturnType<typeof judge> {
  const judgement = judge(event, now);
  if (judgement.verdict !== 'true') return judgement;
  const flaw = flawInSource(source) ?? (subject ? undefined : UNKNOWN_LASTING);
  return flaw === undefined ? judgement : { verdict: 'refused', reason: flaw };
}

/** Why a source cannot yield events with `trueFor`, and what to do about it; undefined if it can. */
export function flawInSource({ options, where }: Source): string | undefined {
  if (options.trueFor) return undefined;
  return `it has trueFor, and its source does not say so. Give @EventSource on ${where} the option trueFor: true.`;
}

/** An event that is true, with its origin. */
export type Found = Pick<LedgerEntry, 'event' | 'key' | 'group'> & Origin;

/** Where an event came from. All fields but its place in a chain are null for an emitted event. `className` is for messages. */
type Origin = Pick<LedgerEntry, 'entity' | 'entityId' | 'source' | 'depth' | 'cause'> & {
  readonly className: string | null;
};

/** Adds metadata to an event that is to be entered. */
type Stamp = (event: SparkEvent) => SparkEvent;

const always = (link: ChainLink) => () => link;

/** The result of sources for subjects: events to enter, rechecks to add, and failures. */
export class Derivation {
  found: Found[] = [];
  readonly future: FutureEvent[] = [];
  readonly rechecks: Recheck[] = [];
  readonly failures: Failure[] = [];
  readonly refused: (InvalidEventError | ChainTooDeepError)[] = [];
  /** Sources that were not run for all subjects, because every call failed, with the last error. */
  readonly givenUp = new Map<Source, unknown>();
  /** Whether missed instants of events that repeat are among the events: most of them are in the ledger already. */
  isCatchingUp = false;
  /** What was yielded with `trueFor`. */
  readonly conditions = new SeenConditions();
  private entries: LedgerEntry[] | undefined;

  constructor(
    private readonly now: number,
    /** Which events led to the events of an entity. */
    readonly linkOf: (ref: SubjectRef | undefined) => ChainLink = always(chainLink()),
    /** What goes round each run of a source. */
    private readonly around?: Around<InterceptedSource>,
  ) {}

  /** Runs a source that does not wait, once for each subject. A failure for one subject does not affect the others. */
  runNow(source: Source, subjects: readonly Subject[]): Promise<void> {
    const { around } = this;
    if (!around || subjects.length === 0) return this.callNow(source, subjects);
    return this.within(around, source, subjects, () => this.callNow(source, subjects));
  }

  /** Runs any source: for each subject, or for all of them if it is a batch source. */
  run(source: Source, subjects: readonly Subject[]): Promise<void> {
    const { around } = this;
    if (!around || subjects.length === 0) return this.call(source, subjects);
    return this.within(around, source, subjects, () => this.call(source, subjects));
  }

  /** An interceptor that fails round a source has failed for all subjects of the run. */
  private async within(
    around: Around<InterceptedSource>,
    source: Source,
    subjects: readonly Subject[],
    work: () => Promise<void>,
  ): Promise<void> {
    try {
      await runWithin(around, source, subjects.length, work);
    } catch (error) {
      const refs = subjects.map(({ ref }) => ref);
      this.fail(source, refs, error);
    }
  }

  private async callNow(source: Source, subjects: readonly Subject[]): Promise<void> {
    const scope = { now: new Date(this.now) };
    for (const subject of subjects) {
      while (isBlocking()) await yieldToEventLoop();
      try {
        this.add(source, eventsNow(source, subject.entity, scope), subject, true);
      } catch (error) {
        this.fail(source, [subject.ref], error);
      }
    }
  }

  private async call(source: Source, subjects: readonly Subject[]): Promise<void> {
    const scope = { now: new Date(this.now) };
    const byId = source.options.batch && byIdText(subjects);
    const calls: SourceCalls = {
      take: (events, given) => {
        if (byId) for (const event of events) this.add(source, [event], subjectIn(byId, event));
        else this.add(source, events, given[0]);
        for (const { ref } of given) this.conditions.end(source, ref);
      },
      fail: (failed, error) =>
        this.fail(
          source,
          failed.map(({ ref }) => ref),
          error,
        ),
    };
    const error = await apart(() => runSource(source, subjects, scope, calls));
    if (error !== undefined) this.givenUp.set(source, error);
  }

  /**
   * The events that were found, with their contexts as text. Events whose context cannot be stored are refused. Call it last: the
   * caller may drop most events before.
   */
  async written(codec: ContextCodec, stamp?: Stamp): Promise<readonly LedgerEntry[]> {
    if (this.entries) return this.entries;
    const entries: LedgerEntry[] = [];
    const sizes = new Map<string, number>();
    for (const found of this.found) {
      while (isBlocking()) await yieldToEventLoop();
      try {
        const entry = entryOf(codec, found, stamp);
        checkSize(sizes, entry);
        entries.push(entry);
      } catch (error) {
        const { group, key, source, className, entityId } = found;
        const [id, by, of] = [entityId ?? undefined, source ?? undefined, className ?? undefined];
        this.refused.push(new InvalidEventError(messageOf(error), { source: by, entity: of, id, group, key }));
      }
    }
    return (this.entries = entries);
  }

  /** Leaves out entities, and events that have lasted since before: they have a condition already. */
  leaveOut(ids: ReadonlySet<string>): void {
    const { lasting, begun } = this.conditions;
    this.found = this.found.filter(({ key, entityId }) => !lasting.has(key) && !ids.has(entityId ?? ''));
    for (const [key, { ref }] of begun) if (ids.has(ref.id)) begun.delete(key);
  }

  /** Adds a failure: a source failed for subjects, or they could not be read. */
  fail(source: Source, refs: readonly SubjectRef[], error: unknown): void {
    this.failures.push(...refs.map((ref) => ({ source, ref, error })));
  }

  private add(source: Source, events: readonly SparkEvent[], subject?: Subject, isCaptured = false): void {
    const { depth, cause } = this.linkOf(subject?.ref);
    const { name: className } = source.metadata;
    const entity = tableOf(rootOf(source.metadata));
    const origin = { entity, className, entityId: subject?.ref.id ?? null, source: source.name, depth, cause };
    const isKnown = !subject || subject.ref.id.length < UNSAFE_LENGTH || isExact(subject.ref.root, subject.entity);
    const take = (event: SparkEvent) => {
      const { verdict, reason } = isKnown ? judge(event, this.now) : INEXACT;
      if (verdict === 'refused') this.refuse(reason!, source, event, subject);
      else if (verdict === 'later') this.recheckLater(source, event, event.at!.getTime(), subject);
      else if (verdict === 'true') this.enter(event, origin, source.live ? subject?.ref : undefined);
    };
    for (const event of events) {
      if (lasts(event)) this.last(event, source, subject, isKnown, take);
      else if (repeats(event)) this.instantsOf(event, events, isCaptured ? subject : undefined).forEach(take);
      else take(event);
    }
  }

  /** Takes an event when it has lasted long enough. One that is over, or that never becomes true, counts as not yielded. */
  private last(
    event: Lasting,
    source: Source,
    subject: Subject | undefined,
    isKnown: boolean,
    take: (event: SparkEvent) => void,
  ): void {
    const { verdict, reason } = isKnown ? judgeLasting(event, source, subject, this.now) : INEXACT;
    if (verdict === 'refused') {
      this.conditions.refuse(nameOf(event).key);
      return this.refuse(reason!, source, event, subject);
    }
    if (verdict !== 'true') return;
    const { ref } = subject!;
    const length = lengthOf(event);
    const since = this.conditions.yielded(source, ref, event, length);
    const lasted = since === undefined ? undefined : eventSince(event, since);
    if (lasted) take(lasted);
    else if (since === undefined) this.future.push({ event, at: this.now + length, ref });
  }

  /**
   * The events for which an event that repeats stands. In the transaction of a save, these are the latest and the next one: a recheck right
   * after it finds the others, so that many missed ones do not keep the transaction open.
   */
  private instantsOf(event: SparkEvent, all: readonly SparkEvent[], captured: Subject | undefined) {
    const found = eventsAt(event, this.now, captured ? 2 : mostMissedOf(all));
    const missed = found.filter(({ at }) => at && at.getTime() <= this.now).length - 1;
    if (missed <= 0) return found;
    this.isCatchingUp = true;
    if (!captured) return found;
    const { depth, cause } = this.linkOf(captured.ref);
    this.rechecks.push({ ref: captured.ref, due: this.now, attempt: 0, depth, cause });
    return found.slice(missed);
  }

  /**
   * Adds an event that is true, unless its chain is too deep.
   *
   * @param again the entity to recheck after the pause of a chain that is too deep
   */
  private enter(event: SparkEvent, origin: Origin, again: SubjectRef | undefined): void {
    const { key, group } = event;
    const { className, entity, entityId, source, depth, cause } = origin;
    // A spread copy with one more property takes thirty times as long.
    if (!isTooDeep(depth)) this.found.push({ event, key, group, className, entity, entityId, source, depth, cause });
    else {
      const { pause, depth: depthAfter } = pauseOf(depth, event.at ? isLate(event.at.getTime(), this.now) : false);
      this.refused.push(new ChainTooDeepError(key, source!, DEEPEST, pause));
      if (again) this.rechecks.push({ ref: again, due: this.now + pause, attempt: 0, depth: depthAfter, cause });
    }
  }

  // Only sweeps run a source that is not live, also for its future events. A recheck for a date begins a new chain: its depth is 0.
  private recheckLater(source: Source, event: SparkEvent, at: number, subject: Subject | undefined): void {
    this.future.push({ event, at, ref: subject?.ref });
    if (!source.live) return;
    if (subject) this.rechecks.push({ ref: subject.ref, due: at, attempt: 0, ...CHAIN_START });
    else this.refuse(UNKNOWN_SUBJECT, source, event, undefined);
  }

  private refuse(reason: string, source: Source, event: SparkEvent, subject: Subject | undefined): void {
    const where = { source: source.name, entity: source.metadata.name, id: subject?.ref.id, ...nameOf(event) };
    this.refused.push(new InvalidEventError(reason, where));
  }
}

const UNSAFE_LENGTH = String(Number.MAX_SAFE_INTEGER).length;
const INEXACT = {
  verdict: 'refused',
  reason:
    `the id of its entity is a number beyond ${Number.MAX_SAFE_INTEGER}, which JavaScript does not hold exactly. ` +
    'Use smaller ids, or text.',
} as const;
const UNKNOWN_LASTING =
  'it has trueFor, and Spark does not know whose it is, because its id is not that of any entity of the batch. Give sparkEvent the id of ' +
  'the entity, and no key of its own.';
const UNKNOWN_SUBJECT =
  'it becomes true in the future, and Spark does not know which entity to recheck then, because its id is not that of any entity of the ' +
  'batch. Give sparkEvent the id of the entity, and no key of its own.';

function byIdText(subjects: readonly Subject[]): Map<string, Subject> {
  const ids = subjects.flatMap((subject) =>
    idsOf(subject.ref, subject.entity).map((id) => [idText(id), subject] as const),
  );
  return new Map(ids);
}

/** The entity of a batch that an event is about. The event's key contains its id, unless the source set another key. */
function subjectIn(byId: ReadonlyMap<string, Subject>, event: SparkEvent): Subject | undefined {
  const { group, key } = nameOf(event);
  const id = typeof group === 'string' && typeof key === 'string' ? idTextIn(group, key) : undefined;
  return id === undefined ? undefined : byId.get(id);
}

// 16 MB of text, which a transaction and the memory of the process can hold.
const LARGEST = 16 * 1024 * 1024;

/** Adds up the sizes of the contexts of one entity's events. Throws when they are too large. */
function checkSize(sizes: Map<string, number>, { entity, entityId, source, context }: LedgerEntry): void {
  if (context === null) return;
  const name = JSON.stringify([source, entity, entityId]);
  const size = (sizes.get(name) ?? 0) + context.length;
  if (size > LARGEST)
    throw new Error(
      `the contexts of the events of this entity have more than ${LARGEST / 1024 / 1024} million characters together. ` +
        `Put only ids into the context where handlers can read the data themselves`,
    );
  sizes.set(name, size);
}

/** The ledger entry of an event of `emit`. Throws when the context does not pass its schema, or it or the metadata cannot be stored. */
export function emitted(codec: ContextCodec, event: SparkEvent, stamp?: Stamp): LedgerEntry {
  const { key, group } = event;
  const origin = { className: null, entity: null, entityId: null, source: null, ...chainLink() };
  return entryOf(codec, { event, key, group, ...origin }, stamp);
}

/** The ledger entry of an event. Throws as {@link emitted}. */
function entryOf(codec: ContextCodec, found: Found, stamp: Stamp | undefined): LedgerEntry {
  const { key, group, entity, entityId, source, depth, cause } = found;
  const event = stamp ? stamp(found.event) : found.event;
  // An interceptor may have replaced the event by a copy.
  checkContext(found.event);
  const context = codec.encode(event.context);
  const at = event.at?.getTime() ?? null;
  const until = event.until?.getTime() ?? null;
  const metadata = writeMetadata(event.metadata);
  return { event, key, group, entity, entityId, source, context, at, until, depth, metadata, cause };
}

/** The group and key of a refused event, as far as they can be read. */
export function nameOf(event: unknown): { group?: string; key?: string } {
  try {
    const { group, key } = Object(event) as Partial<SparkEvent>;
    return { group, key };
  } catch {
    return {};
  }
}
