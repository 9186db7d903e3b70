import type { EntityManager } from 'typeorm';
import type { SweepRange } from './sweep-ranges.js';

/** A request to sweep a source. */
export interface SweepRequest {
  /** The planned instant of the schedule, in epoch milliseconds. It is left out for a sweep by a call. */
  readonly slot?: number;
  /** Begins at the start, and discards the deliveries that it opens. */
  readonly baseline?: boolean;
  /** Reads all rows, also those that have not changed. */
  readonly full?: boolean;
  /** Takes ranges of the sweep that is running, and neither begins nor ends one. */
  readonly helps?: boolean;
}

/** How a sweep that begins reads the rows of its table. */
export interface SweepPlan {
  /** The boundary of the last sweep: rows that are older are passed over. Undefined means that it reads all rows. */
  readonly changedSince: string | undefined;
  /** The boundary of this sweep, for the next one; undefined if the next one must read all rows. */
  readonly boundary: string | undefined;
  /** Why it reads all rows, or only some. */
  readonly why: string;
}

/** What the sweeps before have left for one that begins. */
export interface SweepPast {
  /** The boundary of the last completed sweep, if the next one may use it. */
  readonly boundary: string | undefined;
  /** Why it may not. */
  readonly hindrance: string | undefined;
  /** When the last completed sweep that has read all rows began, epoch ms. */
  readonly fullAt: number | undefined;
  /** Whether the same version of the source was swept last. */
  readonly isSameVersion: boolean;
}

/** The part of one process in the sweeps of a source. */
export interface SweepTicket {
  readonly source: string;
  readonly request: SweepRequest;
  /** The version of the source. Processes with other versions do not sweep together. */
  readonly fingerprint: string;
  /** Plans a sweep that this process begins. */
  readonly plan: (manager: EntityManager, past: SweepPast) => Promise<SweepPlan>;
  /** Returns the key that is so many rows behind a key; undefined if there are not so many. */
  readonly keyBehind: (manager: EntityManager, after: string | undefined, rows: number) => Promise<string | undefined>;
  /** The number of the sweep that the request waits for; undefined before the first call of `take`. */
  target: number | undefined;
  /** Since when the row of the source has been locked by others, by `performance.now()`. */
  lockedSince: number | undefined;
}

/** One sweep of a source, by all its processes. */
export interface SweepRound {
  /** Sweeps of a source are numbered. */
  readonly number: number;
  /** Whether the deliveries that it opens are discarded at once. */
  readonly baseline: boolean;
  /** When the last completed sweep of the source began, epoch ms. */
  readonly sweptAt: number | undefined;
  /**
   * The code of the source that was swept completely before. It stays the same during the sweep, so that all processes open the deliveries
   * of its events alike, and the one that ends the sweep decides on all that are held.
   */
  readonly code: string | undefined;
  /** As in {@link SweepPlan}. */
  readonly changedSince: string | undefined;
  /** How many rows the completed ranges have. */
  readonly passed: number;
}

/** A range, and the sweep that it is a part of. */
export interface SweepShare {
  readonly range: SweepRange;
  readonly round: SweepRound;
}

/**
 * What a process gets that asks for a range. `wait`: all ranges are being swept, by this process or others. `done` and `failed`: the
 * sweep that the request waits for has ended. `swept`: another process has swept for the slot. `elsewhere`: processes with another
 * version of the source are sweeping, or there is no sweep to help with. `paused`: an application has paused the sweeps of the source.
 */
export type Taken = SweepShare | 'wait' | 'done' | 'failed' | 'swept' | 'elsewhere' | 'paused';
