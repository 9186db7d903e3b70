import type { EntityManager } from 'typeorm';
import { select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import { firstIdSince, OUT_OF_ORDER } from '../store/event-times.js';
import { Conditions, type EventFilter } from '../store/record-filter.js';

/** A condition that an index serves. If few rows fit it, a page reads these alone. */
export interface Probe {
  readonly from: string;
  readonly where: string;
}

/** The rows that a page reads, newest first, if it must not read all. */
export interface Scan {
  readonly from: string;
  /** The column by which an index has them. */
  readonly by: string;
  /** A condition that the index has. Default: none. */
  readonly where?: string;
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
}

export const WHOLE: Window = { isRare: false, low: undefined };
const RARE: Window = { isRare: true, low: undefined };

/**
 * Chooses the rows that a page reads: those of an index if they are at most `most`, or else the newest `most` rows below the cursor. It adds
 * to the conditions which rows these are.
 */
export async function windowOf(
  manager: EntityManager,
  tables: TableNames,
  conditions: Conditions,
  scan: Scan,
  after: number | undefined,
  most: number,
): Promise<Window> {
  const { from, by, where, probes } = scan;
  for (const probe of probes) if ((await counted(manager, probe, conditions, most)) < most) return RARE;
  const below = new Conditions(conditions.parameters).add(where, where ?? '', {});
  for (const [text, parameters] of await timesOf(manager, tables, scan))
    for (const both of [below, conditions]) both.add(true, text, parameters);
  below.add(after, `${by} <= :below`, { below: after });
  const newest = `SELECT ${by} AS id FROM ${from} ${below.sql} ORDER BY ${by} DESC LIMIT ${most}`;
  const sql = `SELECT MIN(w.id) AS low, COUNT(*) AS n FROM (${newest}) w`;
  const [row] = await select<{ low: string | null; n: string }>(manager, sql, below.parameters);
  if (Number(row!.n) < most || row!.low === null) return WHOLE;
  const low = String(row!.low);
  conditions.add(low, `${by} >= :low`, { low });
  return { isRare: false, low };
}

/** The conditions on the numbers of events that were recorded within the times of a filter. */
async function timesOf(manager: EntityManager, tables: TableNames, { event, filter: { from, to } }: Scan) {
  const conditions: [text: string, parameters: object][] = [];
  const idAt = (at: Date, skew: number) => firstIdSince(manager, tables, at.getTime() + skew);
  if (from) conditions.push([`${event} >= :firstEvent`, { firstEvent: await idAt(from, -OUT_OF_ORDER) }]);
  if (to) conditions.push([`${event} < :endEvent`, { endEvent: await idAt(to, OUT_OF_ORDER) }]);
  return conditions;
}

async function counted(manager: EntityManager, { from, where }: Probe, { parameters }: Conditions, most: number) {
  const sql = `SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM ${from} WHERE ${where} LIMIT ${most}) p`;
  const [row] = await select<{ n: string }>(manager, sql, parameters);
  return Number(row!.n);
}
