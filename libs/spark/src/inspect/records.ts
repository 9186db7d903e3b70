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
  /**
   * The number of the event that led to it: a handler of that event made the change, or called `emit`. Undefined outside of handlers, for
   * events that a date or a sweep has brought, and for those that a release before 0.2 entered.
   */
  readonly causedBy: string | undefined;
  /** Its context as JSON text, as it is stored; undefined if it has none, or `retention` has removed it. */
  readonly context: string | undefined;
  /** Its metadata; undefined if it has none, or `retention` has removed it. */
  readonly metadata: EventMetadata | undefined;
}

/** A delivery of an event to a handler. */
export interface DeliveryRecord {
  readonly id: string;
  /** The event: its number, key, group, entity, entity's id and source. */
  readonly event: Pick<EventRecord, 'id' | 'key' | 'group' | 'entity' | 'entityId' | 'source' | 'recorded'>;
  readonly handler: string;
  readonly state: DeliveryState;
  /** How many attempts it has had. */
  readonly attempt: number;
  /** Its priority. Lower ones come first. */
  readonly priority: number;
  /** When it is due, or was due first. */
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
   * The fingerprint that errors of the same kind share, 16 hexadecimal digits. Undefined if the last attempt did not fail, or if a
   * release before 0.2 stored the error.
   */
  readonly fingerprint: string | undefined;
  /**
   * The process that is handling it, as in `WorkerStatus.id`. Of an available delivery: the process that has sent it by a carrier; then it
   * is `due` when it is back if it gets lost.
   */
  readonly worker: string | undefined;
}

/** A failed attempt of a delivery. */
export interface AttemptRecord {
  /** The number of the attempt. It begins with 1, and again with 1 after `retry` and `replay`. */
  readonly attempt: number;
  /** The machine and the process that ran the attempt. */
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
  /** How many deliveries with this error wait for their next attempt, or are discarded. */
  readonly deliveries: number;
  /** How many of these are discarded. */
  readonly discarded: number;
  /** When the first and the last kept attempt of these deliveries that failed with this error began. */
  readonly first: Date;
  readonly last: Date;
  /** The text of the latest error. */
  readonly error: string;
}

/** An entity that is rechecked. */
export interface RecheckRecord {
  readonly id: string;
  /** The name of the entity class, or of the table if this DataSource has no such entity. */
  readonly entity: string;
  readonly entityId: string;
  readonly due: Date;
  /** How often it has failed. */
  readonly attempt: number;
}

/** Selects a page of a list. */
export interface PageRequest {
  /** How many records at most, 1 to 1,000. Default: 100. */
  readonly limit?: number;
  /** The `next` of the previous page. Default: the first page. */
  readonly after?: string;
  /** Counts all records that the filter selects, up to this number. Default: it does not count. */
  readonly countUpTo?: number;
  /**
   * About how many rows the page reads at most, 1,000 or more. If no index finds what the filter selects, it looks only at so many of the
   * newest rows after `after`. It may then have fewer records than `limit`, or none, and still a `next` that goes on behind them; `count` is
   * of these rows, too. Of available deliveries, it lists at most 5,000, those of a handler that are due first. Use it for large tables. Times
   * are found by the order in which events were entered. Default: no limit.
   */
  readonly readUpTo?: number;
}

/** A page of a list. */
export interface Page<R> {
  readonly records: readonly R[];
  /** The `after` of the next page; undefined if this is the last page. */
  readonly next: string | undefined;
  /** How many records there are in all, at most `countUpTo`; undefined without `countUpTo`. */
  readonly count: number | undefined;
}
