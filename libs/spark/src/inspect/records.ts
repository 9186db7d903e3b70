import type { DeliveryState } from '../database/delivery-states.js';
import type { EventMetadata } from '../event/event-metadata.js';

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
  /**
   * What errors of this kind have in common, 16 hexadecimal digits. Undefined where the last attempt did not fail, and where a release
   * before 0.3 wrote the error.
   */
  readonly fingerprint: string | undefined;
  /** The process that is at work on it, as in `WorkerStatus.id`. */
  readonly worker: string | undefined;
}

/** An attempt to deliver that failed. */
export interface AttemptRecord {
  /** Which try it was: 1 is the first, also of those after `retry` and `replay`. */
  readonly attempt: number;
  /** The machine and the process that wrote it down. */
  readonly host: string;
  readonly pid: number;
  /** When it began: when its delivery was claimed. */
  readonly started: Date;
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
  /** Why it failed: the error with its stack and causes. */
  readonly error: string;
  /** What errors of this kind have in common, 16 hexadecimal digits. */
  readonly fingerprint: string;
}

/** Deliveries of one handler whose last attempt failed with the same kind of error. */
export interface ErrorRecord {
  readonly fingerprint: string;
  readonly handler: string;
  /** How many deliveries wait for their next try, or are discarded, with it. */
  readonly deliveries: number;
  /** How many of these are discarded. */
  readonly discarded: number;
  /** When the first and the last of their attempts began that failed with it and are kept. */
  readonly first: Date;
  readonly last: Date;
  /** The text of the latest one. */
  readonly error: string;
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
