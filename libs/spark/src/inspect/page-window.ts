import type { EntityManager } from 'typeorm';
import { select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import { firstIdSince, OUT_OF_ORDER } from '../store/event-times.js';
import { Conditions, type EventFilter } from '../store/record-filter.js';

/** A condition that an index serves. If few rows fit it, a page reads these alone. */
export interface Probe {
  readonly from: string;
  readonly where: string;
  /** The order of the index, as SQL after ORDER BY. */
  readonly by: string;
}

/** The rows that a page reads, newest first, if it must not read all. */
export interface Scan {
  readonly from: string;
  /** From what the list of these rows reads, as SQL after FROM. Default: as the list says. */
  readonly list?: string;
  /** Whether `list` has only so many rows by itself. */
  readonly isLimited?: boolean;
  /** The column by which an index has them. */
  readonly by: string;
  /** A condition that the index has. Default: none. */
  readonly where?: string;
  /** How many rows it reads at most. Default: as many as the page may. */
  readonly most?: number;
  readonly probes: readonly Probe[];
  /** The column with the number of the event. */
  readonly event: string;
  readonly filter: EventFilter;
}

/** How a page of a filter is read. */
export interface Window {
  /** Whether few rows fit an index. Then the database must not go through the others in their order. */
  readonly isRare: boolean;
  /** The lowest value of the column that is read; undefined if there are no rows below. */
  readonly low: string | undefined;
  /** From what it reads, as SQL after FROM. Default: as the list says. */
  readonly list?: string | undefined;
}

/** With more rows, a database may take its way through the whole table for the shorter one. */
const FEW = 1_000;

export const WHOLE: Window = { isRare: false, low: undefined };

/**
 * Chooses the rows that a page reads: those of an index if they are few, or else the newest `most` rows below the cursor. It adds to the
 * conditions which rows these are.
 */
export async function windowOf(
  manager: EntityManager,
  tables: TableNames,
  conditions: Conditions,
  scan: Scan,
  after: number | undefined,
  most: number,
): Promise<Window> {
  const { from, list, isLimited, by, where, probes } = scan;
  for (const probe of probes) if (await isRare(manager, probe, conditions)) return { isRare: true, low: undefined };
  if (isLimited) return { isRare: false, low: undefined, list };
  const below = new Conditions(conditions.parameters).add(where, where ?? '', {});
  for (const [text, parameters] of await timesOf(manager, tables, scan))
    for (const both of [below, conditions]) both.add(true, text, parameters);
  below.add(after, `${by} <= :below`, { below: after });
  const limit = Math.min(most, scan.most ?? most);
  const newest = `SELECT ${by} AS id FROM ${from} ${below.sql} ORDER BY ${by} DESC LIMIT ${limit}`;
  const sql = `SELECT MIN(w.id) AS low, COUNT(*) AS n FROM (${newest}) w`;
  const [row] = await select<{ low: string | null; n: string }>(manager, sql, below.parameters);
  if (Number(row!.n) < limit || row!.low === null) return { isRare: false, low: undefined, list };
  const low = String(row!.low);
  conditions.add(low, `${by} >= :low`, { low });
  return { isRare: false, low, list };
}

/** The conditions on the numbers of events that were recorded within the times of a filter. */
async function timesOf(manager: EntityManager, tables: TableNames, { event, filter: { from, to } }: Scan) {
  const conditions: [text: string, parameters: object][] = [];
  const idAt = (at: Date, skew: number) => firstIdSince(manager, tables, at.getTime() + skew);
  if (from) conditions.push([`${event} >= :firstEvent`, { firstEvent: await idAt(from, -OUT_OF_ORDER) }]);
  if (to) conditions.push([`${event} < :endEvent`, { endEvent: await idAt(to, OUT_OF_ORDER) }]);
  return conditions;
}

async function isRare(manager: EntityManager, { from, where, by }: Probe, { parameters }: Conditions) {
  const some = `SELECT 1 AS one FROM ${from} WHERE ${where} ORDER BY ${by} LIMIT ${FEW}`;
  const [row] = await select<{ n: string }>(manager, `SELECT COUNT(*) AS n FROM (${some}) p`, parameters);
  return Number(row!.n) < FEW;
}
