import type { EntityManager } from 'typeorm';
import { select, withRunner } from '../database/statement.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import type { Conditions } from '../store/record-filter.js';
import type { Inspected } from './inspected.js';
import type { Page, PageRequest } from './records.js';

/** A list to read a page of. */
export interface Listing<Row, R> {
  readonly from: string;
  readonly columns: string;
  /** Columns of whole numbers that are unique together. */
  readonly order: readonly string[];
  readonly isDescending: boolean;
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
  const { from, columns, order, isDescending, cursorOf, recordOf } = listing;
  const { limit = USUAL, after, countUpTo } = page;
  checkPage(page, order.length);
  return withRunner(spark.dataSource.manager, async ({ manager }) => {
    const count = countUpTo === undefined ? undefined : await counted(manager, from, conditions, countUpTo);
    if (after !== undefined) {
      const cursor = Object.fromEntries(after.split('.').map((part, i) => [`after${i}`, Number(part)]));
      const names = order.map((_, i) => `:after${i}`).join();
      conditions.add(after, `(${order.join()}) ${isDescending ? '<' : '>'} (${names})`, cursor);
    }
    const by = order.map((column) => `${column} ${isDescending ? 'DESC' : 'ASC'}`).join();
    const sql = `SELECT ${columns} FROM ${from} ${conditions.sql} ORDER BY ${by} LIMIT ${limit + 1}`;
    const rows = await select<Row>(manager, sql, conditions.parameters);
    const isLast = rows.length <= limit;
    const shown = isLast ? rows : rows.slice(0, limit);
    return { records: shown.map(recordOf), next: isLast ? undefined : cursorOf(shown.at(-1)!).join('.'), count };
  });
}

async function counted(manager: EntityManager, from: string, { sql, parameters }: Conditions, most: number) {
  const count = `SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM ${from} ${sql} LIMIT ${most}) counted`;
  const [row] = await select<{ n: string }>(manager, count, parameters);
  return Number(row!.n);
}

/** Checks the options of a page. Throws InvalidOptionsError. */
function checkPage({ limit = USUAL, after, countUpTo = 1 }: PageRequest, parts: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > MOST)
    throw new InvalidOptionsError('limit', limit, `a whole number from 1 to ${MOST}`);
  if (!Number.isSafeInteger(countUpTo) || countUpTo < 1)
    throw new InvalidOptionsError('countUpTo', countUpTo, 'a whole number above 0');
  const isCursor = after === undefined || (after.split('.').length === parts && /^-?\d+(\.-?\d+)*$/.test(after));
  if (!isCursor) throw new InvalidOptionsError('after', after, 'the next of the page before');
}
