import type { EntityManager } from 'typeorm';
import { select, withRunner } from '../database/statement.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import type { Conditions } from '../store/record-filter.js';
import type { Inspected } from './inspected.js';
import { type Scan, WHOLE, windowOf } from './page-window.js';
import type { Page, PageRequest } from './records.js';

/** A list to read a page of. */
export interface Listing<Row, R> {
  readonly from: string;
  readonly columns: string;
  /** Columns of whole numbers that are unique together. */
  readonly order: readonly string[];
  readonly isDescending: boolean;
  /** What is read at most with `readUpTo`. Default: an index finds what the filter selects, so all of it may be read. */
  readonly scan?: Scan | undefined;
  readonly cursorOf: (row: Row) => readonly (string | number)[];
  readonly recordOf: (row: Row) => R;
}

const USUAL = 100;
const MOST = 1_000;

/** Reads a page of a list. Throws InvalidOptionsError. */
export async function read<Row, R>(
  spark: Inspected,
  page: PageRequest,
  conditions: Conditions,
  listing: Listing<Row, R>,
): Promise<Page<R>> {
  const { columns, order, isDescending, scan, cursorOf, recordOf } = listing;
  const { limit = USUAL, after, countUpTo, readUpTo } = page;
  checkPage(page, order.length);
  const cursor = after?.split('.').map(Number);
  return withRunner(spark.dataSource.manager, async ({ manager }) => {
    const {
      isRare,
      low,
      list: from = listing.from,
    } = scan && readUpTo !== undefined
      ? await windowOf(manager, spark.tables, conditions, scan, cursor?.[0], readUpTo)
      : WHOLE;
    // The sum keeps the database from going through all rows in this order to find few.
    const first = isRare ? `${order[0]} + 0` : order[0]!;
    const by = [first, ...order.slice(1)].map((column) => `${column} ${isDescending ? 'DESC' : 'ASC'}`).join();
    const names = order.map((_, i) => `:after${i}`).join();
    const { sql: whole } = conditions;
    conditions.add(
      cursor,
      `(${order.join()}) ${isDescending ? '<' : '>'} (${names})`,
      Object.fromEntries((cursor ?? []).map((part, i) => [`after${i}`, part])),
    );
    const sql = `SELECT ${columns} FROM ${from} ${conditions.sql} ORDER BY ${by} LIMIT ${limit + 1}`;
    const rows = await select<Row>(manager, sql, conditions.parameters);
    const isLast = rows.length <= limit;
    const shown = isLast ? rows : rows.slice(0, limit);
    // Below the lowest row that was read there may be more.
    const end = low === undefined ? undefined : [low, ...order.slice(1).map(() => 0)];
    const next = isLast ? end : cursorOf(shown.at(-1)!);
    const isAll = isLast && cursor === undefined;
    const counting = async (most: number) =>
      isAll ? Math.min(rows.length, most) : counted(manager, `${from} ${whole}`, conditions, by, most);
    const count = countUpTo === undefined ? undefined : await counting(countUpTo);
    return { records: shown.map(recordOf), next: next?.join('.'), count };
  });
}

async function counted(
  manager: EntityManager,
  rows: string,
  { parameters }: Conditions,
  by: string,
  most: number,
): Promise<number> {
  // In the order of the list, so that it reads the rows that the list reads.
  const some = `SELECT 1 AS one FROM ${rows} ORDER BY ${by} LIMIT ${most}`;
  const [row] = await select<{ n: string }>(manager, `SELECT COUNT(*) AS n FROM (${some}) counted`, parameters);
  return Number(row!.n);
}

/** Checks the options of a page. Throws InvalidOptionsError. */
function checkPage({ limit = USUAL, after, countUpTo = 1, readUpTo = MOST }: PageRequest, parts: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MOST)
    throw new InvalidOptionsError('limit', limit, `a whole number from 1 to ${MOST}`);
  if (!Number.isSafeInteger(countUpTo) || countUpTo < 1)
    throw new InvalidOptionsError('countUpTo', countUpTo, 'a whole number above 0');
  if (!Number.isSafeInteger(readUpTo) || readUpTo < MOST)
    throw new InvalidOptionsError('readUpTo', readUpTo, `a whole number from ${MOST} on`);
  const isCursor = after === undefined || (after.split('.').length === parts && /^-?\d+(\.-?\d+)*$/.test(after));
  if (!isCursor) throw new InvalidOptionsError('after', after, 'the next of the page before');
}
