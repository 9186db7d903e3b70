import type { Look } from '../agenda/looks.js';
import { checkEvent, NEVER } from '../event/event-check.js';
import { chainDepth, DEEPEST } from '../event/chain.js';
import type { ContextCodec } from '../event/context-codec.js';
import type { SparkEvent } from '../event/spark-event.js';
import { ChainTooDeepError } from '../error/chain-too-deep.error.js';
import { InvalidEventError } from '../error/invalid-event.error.js';
import type { SparkError } from '../error/spark.error.js';
import type { LedgerEntry } from '../ledger/ledger.js';
import { eventsNow, eventsOf, type Source } from '../source/source.js';
import type { SubjectRef } from '../subject/subject-ref.js';
import type { Subject } from '../subject/subjects.js';

/** A source that threw, and the subject that it threw at. */
export interface Failure {
  readonly source: Source;
  readonly ref: SubjectRef;
  readonly error: unknown;
}

/** What sources said of subjects: events to enter, instants to look again, and what went wrong. */
export class Derivation {
  readonly entries: LedgerEntry[] = [];
  readonly looks: Look[] = [];
  readonly failures: Failure[] = [];
  readonly refused: SparkError[] = [];

  constructor(
    private readonly codec: ContextCodec,
    private readonly now: number,
    /** How many events led to what is derived, by entity where they differ. */
    private readonly depthOf: (ref: SubjectRef | undefined) => number = () => chainDepth(),
  ) {}

  /** Runs a source that does not wait on each subject. One that throws leaves the others alone. */
  runNow(source: Source, subjects: readonly Subject[]): void {
    const scope = { now: new Date(this.now) };
    for (const subject of subjects) {
      try {
        this.take(source, eventsNow(source, subject.entity, scope), subject);
      } catch (error) {
        this.fail(source, [subject.ref], error);
      }
    }
  }

  /** Runs any source, on each subject or on all at once as it asks. */
  async run(source: Source, subjects: readonly Subject[]): Promise<void> {
    const scope = { now: new Date(this.now) };
    if (!source.options.batch) {
      for (const subject of subjects) {
        try {
          this.take(source, await eventsOf(source, subject.entity, scope), subject);
        } catch (error) {
          this.fail(source, [subject.ref], error);
        }
      }
    } else if (subjects.length > 0) {
      try {
        this.take(
          source,
          await eventsOf(
            source,
            subjects.map(({ entity }) => entity),
            scope,
          ),
        );
      } catch (error) {
        this.fail(
          source,
          subjects.map(({ ref }) => ref),
          error,
        );
      }
    }
  }

  /** Notes that a source could not be run on subjects, or that they could not be read. */
  fail(source: Source, refs: readonly SubjectRef[], error: unknown): void {
    this.failures.push(...refs.map((ref) => ({ source, ref, error })));
  }

  private take(source: Source, events: readonly SparkEvent[], subject?: Subject): void {
    for (const event of events) {
      const reason = checkEvent(event);
      if (reason === NEVER) continue;
      if (reason !== undefined) this.refuse(reason, source, event, subject);
      else if (event.at && event.at.getTime() > this.now) this.lookAgain(source, event.at, subject);
      else this.enter(source, event, subject);
    }
  }

  private enter(source: Source, event: SparkEvent, subject: Subject | undefined): void {
    const depth = this.depthOf(subject?.ref);
    if (depth > DEEPEST) {
      this.refused.push(new ChainTooDeepError(event.key, source.name, DEEPEST));
      return;
    }
    try {
      const entity = source.metadata.name;
      const origin = { entity, entityId: subject?.ref.id ?? null, source: source.name, depth };
      this.entries.push({ ...entryOf(this.codec, event), ...origin });
    } catch (error) {
      this.refuse((error as Error).message, source, event, subject);
    }
  }

  // A source that is not live is left to the sweep, the future included.
  private lookAgain(source: Source, at: Date, subject: Subject | undefined): void {
    if (source.live && subject) this.looks.push({ ref: subject.ref, due: at.getTime(), attempt: 0, depth: 0 });
  }

  private refuse(reason: string, source: Source, event: SparkEvent, subject: Subject | undefined): void {
    const where = { source: source.name, entity: source.metadata.name, id: subject?.ref.id, ...nameOf(event) };
    this.refused.push(new InvalidEventError(reason, where));
  }
}

/** The part of an entry that the event itself says. Throws when the context cannot be stored. */
export function entryOf(codec: ContextCodec, event: SparkEvent): LedgerEntry {
  const { key, group, at } = event;
  const context = codec.encode(event.context);
  return {
    event,
    key,
    group,
    context,
    at: at?.getTime() ?? null,
    entity: null,
    entityId: null,
    source: null,
    depth: chainDepth(),
  };
}

/** What an event that is refused calls itself, as far as it can be read at all. */
export function nameOf(event: unknown): { group?: string; key?: string } {
  try {
    const { group, key } = Object(event) as Partial<SparkEvent>;
    return { group, key };
  } catch {
    return {};
  }
}
