import type { EventMetadata } from '../event/event-metadata.js';
import type { DeliveryState } from '../store/record-filter.js';

/** An event in the ledger. */
export interface EventRecord {
  /** Its number: events that were entered later have higher ones. */
  readonly id: string;
  readonly key: string;
  readonly group: string;
  /** The name of the entity class that it came from; undefined for an emitted event. */
  readonly entity: string | undefined;
  readonly entityId: string | undefined;
  /** The name of the source; undefined for an emitted event. */
  readonly source: string | undefined;
  /** The `at` and `until` that it was entered with. */
  readonly at: Date | undefined;
  readonly until: Date | undefined;
  /** When it was entered. */
  readonly recorded: Date;
  /** How many events led to it. */
  readonly depth: number;
  /** Its context as it is stored, JSON text; undefined where it has none, or `retention` has removed it. */
  readonly context: string | undefined;
  /** Its metadata; undefined where it has none, or `retention` has removed it. */
  readonly metadata: EventMetadata | undefined;
}

/** A delivery of an event to a handler. */
export interface DeliveryRecord {
  readonly id: string;
  /** The event: its number, key, group, entity, entity's id and source. */
  readonly event: Pick<EventRecord, 'id' | 'key' | 'group' | 'entity' | 'entityId' | 'source' | 'recorded'>;
  readonly handler: string;
  readonly state: DeliveryState;
  /** How often it was tried. */
  readonly attempt: number;
  /** The lower, the sooner. */
  readonly priority: number;
  /** When it is to be tried, or was first. */
  readonly due: Date;
  /** When the last attempt began. */
  readonly started: Date | undefined;
  /** When it was completed, skipped or discarded. */
  readonly finished: Date | undefined;
  /** How long the handler took, in milliseconds. */
  readonly durationMs: number | undefined;
  /** Why the last attempt failed, or why it was skipped or discarded. */
  readonly error: string | undefined;
  /** The process that is at work on it, as in `WorkerStatus.id`. */
  readonly worker: string | undefined;
}

/** An entity that is rechecked. */
export interface RecheckRecord {
  readonly id: string;
  /** The name of the entity class, or of the table where this DataSource does not know it. */
  readonly entity: string;
  readonly entityId: string;
  readonly due: Date;
  /** How often it has failed. */
  readonly attempt: number;
}

/** Which part of a list is meant. */
export interface PageRequest {
  /** How many records at most, 1 to 1,000. Default: 100. */
  readonly limit?: number;
  /** The `next` of the page before. Default: the first page. */
  readonly after?: string;
  /** Counts all that the filter means, up to so many. Default: it does not count. */
  readonly countUpTo?: number;
}

/** A part of a list. */
export interface Page<R> {
  readonly records: readonly R[];
  /** What `after` of the next page is; undefined where this is the last one. */
  readonly next: string | undefined;
  /** How many there are in all, at most `countUpTo`; undefined where nobody asked. */
  readonly count: number | undefined;
}
