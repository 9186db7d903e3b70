import type { DataSource } from 'typeorm';
import { withRunner } from '../database/statement.js';
import type { Source } from '../source/source.js';
import { pageOfKeys, pageOfSubjects, readSubjects, type Subject } from '../entity/subjects.js';

/** Consecutive entities of a source in the order of the primary key. */
export interface Page {
  readonly keys: readonly string[];
  /** Undefined if the keys could be read and the entities could not. */
  readonly subjects: readonly Subject[] | undefined;
  readonly isLast: boolean;
}

const LIMIT = 500;

/** The pages of a source, from the entity behind the key `after` up to the key `upTo`. */
export async function* pagesOf(
  dataSource: DataSource,
  source: Source,
  after: string | undefined,
  upTo: string | undefined,
): AsyncGenerator<Page> {
  for (let last = after, isLast = false; !isLast;) {
    const page: Page = await read(dataSource, source, last, upTo);
    yield page;
    last = page.keys.at(-1);
    ({ isLast } = page);
  }
}

function read(dataSource: DataSource, source: Source, after: string | undefined, upTo: string | undefined) {
  const bounds = { after, upTo, limit: LIMIT };
  return withRunner(dataSource.manager, async ({ manager }): Promise<Page> => {
    const whole = await pageOfSubjects(manager, source, bounds).catch(() => undefined);
    const keys = whole?.map(({ ref }) => ref.id) ?? (await pageOfKeys(manager, source, bounds));
    const subjects = whole ?? (await readSubjects(manager, source, keys).catch(() => undefined));
    return { keys, subjects, isLast: keys.length < LIMIT };
  });
}
