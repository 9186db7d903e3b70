import type { DataSource, EntityManager, ObjectLiteral } from 'typeorm';
import { chunks, withRunner } from '../database/statement.js';
import type { Source } from '../source/source.js';
import { type PageBounds, pageOfKeys, pageOfSubjects, readSubjects, type Subject } from '../entity/subjects.js';
import type { SweepShare } from '../store/sweep-ticket.js';

/** A range that this process sweeps, and the groups of its source: whether each has been through a whole sweep. */
export interface Share extends SweepShare {
  readonly groups: Map<string, boolean>;
}

/** Consecutive entities of a range in the order of the primary key. */
export interface Page {
  readonly share: Share;
  readonly keys: readonly string[];
  /** Undefined if the keys could be read and the entities could not. */
  readonly subjects: readonly Subject[] | undefined;
  /** Whether it is the last page of its range. */
  readonly isLast: boolean;
}

/** Some of the keys of a table, for a call: single ones, or those between two keys. */
export type SomeKeys = { readonly ids: readonly string[] } | { readonly from?: string; readonly to?: string };

/** The rows of a range could not be read, or their source did not answer. */
export class RangeFailed extends Error {
  constructor(
    readonly share: Share,
    readonly reason: unknown,
  ) {
    super();
  }
}

const LIMIT = 500;

/** The SQL condition that a row has changed since a boundary. */
export type ChangedSince = (
  manager: EntityManager,
  boundary: string,
) => { readonly sql: string; readonly parameters: ObjectLiteral };

/** The pages of one range after the other, as long as there are ranges. */
export async function* pagesOf(
  dataSource: DataSource,
  source: Source,
  next: () => Promise<Share | undefined>,
  changedSince: ChangedSince,
): AsyncGenerator<Page> {
  for (let share = await next(); share; share = await next()) {
    const { range, round } = share;
    const { upTo } = range;
    const changed = round.changedSince === undefined ? undefined : changedSince(dataSource.manager, round.changedSince);
    const first = range.reached ?? range.after;
    const pages = keyed(share, first, (after) => read(dataSource, source, { after, upTo, changed, limit: LIMIT }));
    for await (const page of pages) yield page;
  }
}

/** The pages of a call for some of the keys. */
export async function* pagesApart(
  dataSource: DataSource,
  source: Source,
  share: Share,
  some: SomeKeys,
): AsyncGenerator<Page> {
  if (!('ids' in some)) {
    const { from, to: upTo } = some;
    yield* keyed(share, undefined, (after) => read(dataSource, source, { after, from, upTo, limit: LIMIT }));
    return;
  }
  for (const ids of chunks(some.ids, LIMIT)) {
    const subjects = await readSubjects(dataSource.manager, source, ids).catch(() => undefined);
    yield { share, keys: subjects?.map(({ ref }) => ref.id) ?? ids, subjects, isLast: false };
  }
  yield { share, keys: [], subjects: [], isLast: true };
}

type ReadPage = Omit<Page, 'share' | 'isLast'>;

async function* keyed(
  share: Share,
  first: string | undefined,
  readAfter: (after: string | undefined) => Promise<ReadPage>,
): AsyncGenerator<Page> {
  for (let last = first, isLast = false; !isLast;) {
    const page: ReadPage = await readAfter(last).catch((error: unknown) => {
      throw new RangeFailed(share, error);
    });
    last = page.keys.at(-1);
    isLast = page.keys.length < LIMIT || last === share.range.upTo;
    yield { ...page, share, isLast };
  }
}

function read(dataSource: DataSource, source: Source, bounds: PageBounds): Promise<ReadPage> {
  return withRunner(dataSource.manager, async ({ manager }) => {
    const whole = await pageOfSubjects(manager, source, bounds).catch(() => undefined);
    const keys = whole?.map(({ ref }) => ref.id) ?? (await pageOfKeys(manager, source, bounds));
    const subjects = whole ?? (await readSubjects(manager, source, keys).catch(() => undefined));
    return { keys, subjects };
  });
}
