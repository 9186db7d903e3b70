import type { Command } from 'commander';
import type { Page, PageRequest } from '../../inspect/records.js';
import { wholeNumber } from '../arguments/instant.js';
import type { Output } from '../output/output.js';
import type { Column } from '../output/table.js';

/** The options of {@link addPageOptions}. */
export interface PageOptions {
  readonly limit: number;
  readonly after?: string;
}

const USUAL = 100;
const MOST_OF_PAGE = 1_000;

/** Adds the options of a list. */
export const addPageOptions = (command: Command): Command =>
  command
    .optionsGroup('How many:')
    .option('--limit <number>', 'at most so many', wholeNumber, USUAL)
    .option('--after <place>', 'those after this place, which the list before has named');

/** Prints records, page by page, up to the limit. It says on stderr where the rest begins. */
export async function printPages<R extends object>(
  { output, options, signal }: { readonly output: Output; readonly options: PageOptions; readonly signal: AbortSignal },
  list: { readonly columns: readonly Column<R>[]; readonly none: string },
  read: (page: PageRequest) => Promise<Page<R>>,
): Promise<void> {
  const records: R[] = [];
  let next = options.after;
  do {
    signal.throwIfAborted();
    const limit = Math.min(MOST_OF_PAGE, options.limit - records.length);
    const page: Page<R> = await read(next === undefined ? { limit } : { limit, after: next });
    records.push(...page.records);
    next = page.next;
  } while (next !== undefined && records.length < options.limit);
  output.list(list.columns, records, list.none);
  if (next !== undefined) output.note(`There are more: --after ${next}`);
}
