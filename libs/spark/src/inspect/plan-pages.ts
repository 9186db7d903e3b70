import type { EntityMetadata } from 'typeorm';
import { rootOf } from '../entity/entity-table.js';
import { type PageBounds, pageOfKeys, pageOfSubjects, readSubjects, type Subject } from '../entity/subjects.js';
import { inHalves } from '../record/in-halves.js';
import type { Source } from '../source/source.js';
import type { Condition } from '../store/conditions.js';
import type { Inspected } from './inspected.js';
import { conditionsOf } from './planned-conditions.js';

/** The entities of a source in a page. */
export interface SourcePage {
  readonly source: Source;
  readonly subjects: readonly Subject[];
  /** Its conditions, which were read before its entities. */
  readonly conditions: readonly Condition[];
  /** The entities that cannot be read. An undefined id stands for all of the page. */
  readonly unread: readonly Unread[];
}

interface Unread {
  readonly id: string | undefined;
  readonly error: unknown;
}

/** Consecutive entities of a table, as its sources read them. */
export interface PlanPage {
  readonly keys: readonly string[];
  readonly sources: readonly SourcePage[];
}

const PAGE = 500;

/** The pages of a table in the order of the primary key; one page if `id` is given. */
export async function* pagesOf(spark: Inspected, metadata: EntityMetadata, id?: string): AsyncGenerator<PlanPage> {
  const sources = spark.sources.of(metadata);
  if (id !== undefined) {
    yield await pageOf(spark, sources, [id]);
    return;
  }
  const only = sources.length === 1 ? sources[0] : undefined;
  const leader = only ?? sources.find((source) => isWhole(source, metadata));
  // Between two keys of a class, its table may have rows of other classes.
  const isTable = rootOf(metadata) === metadata;
  for (let after: string | undefined, isEnd = false; !isEnd;) {
    const bounds: PageBounds = { after, limit: PAGE };
    // What lasts must be read before the entities, and the keys before it.
    const first = leader && !leader.options.trueFor && (await wholePage(spark, leader, bounds));
    const keys = first ? first.map(({ ref }) => ref.id) : await keysOf(spark, metadata, only, bounds);
    if (!Array.isArray(keys)) {
      yield { keys: [], sources: [nothingOf(only!, keys.error)] };
      return;
    }
    if (keys.length === 0) return;
    const range = isTable ? { ...bounds, upTo: keys.at(-1)! } : undefined;
    yield await pageOf(spark, sources, keys, range, first ? { source: leader, subjects: first } : undefined);
    after = keys.at(-1);
    isEnd = keys.length < PAGE;
  }
}

/** Whether the entities of a source are all rows of its table. Then one statement reads the keys of a page and its entities. */
function isWhole({ metadata, options }: Source, whole: EntityMetadata): boolean {
  const { where, query, withDeleted } = options;
  return metadata === whole && !where && !query && (withDeleted || !metadata.deleteDateColumn);
}

/** The entities of a page, if one statement can read them. */
function wholePage(spark: Inspected, source: Source, bounds: PageBounds): Promise<Subject[] | undefined> {
  return spark.transactions.reading((manager) => pageOfSubjects(manager, source, bounds)).catch(() => undefined);
}

/** The keys of a page, or the error if the only source of the table cannot be read. */
async function keysOf(
  spark: Inspected,
  metadata: EntityMetadata,
  only: Source | undefined,
  bounds: PageBounds,
): Promise<string[] | { readonly error: unknown }> {
  const query = only ?? { metadata, options: { withDeleted: true } };
  const read = spark.transactions.reading((manager) => pageOfKeys(manager, query, bounds));
  return only ? read.catch((error: unknown) => ({ error })) : read;
}

async function pageOf(
  spark: Inspected,
  sources: readonly Source[],
  keys: readonly string[],
  range?: PageBounds,
  first?: Pick<SourcePage, 'source' | 'subjects'>,
): Promise<PlanPage> {
  const pages: SourcePage[] = [];
  for (const source of sources) {
    const conditions = await conditionsOf(spark, source, keys);
    if (first?.source === source) pages.push({ ...first, conditions, unread: [] });
    else pages.push({ source, conditions, ...(await entitiesOf(spark, source, keys, range)) });
  }
  return { keys, sources: pages };
}

async function entitiesOf(spark: Inspected, source: Source, keys: readonly string[], range: PageBounds | undefined) {
  const whole = range && (await wholePage(spark, source, range));
  if (whole) return { subjects: whole, unread: [] };
  const subjects: Subject[] = [];
  const unread: Unread[] = [];
  let hasRead = false;
  const read = async (part: readonly string[]) => {
    subjects.push(...(await spark.transactions.reading((manager) => readSubjects(manager, source, part))));
    hasRead = true;
  };
  await inHalves(keys, read, (part, error) => unread.push(...part.map((id) => ({ id, error }))));
  const { error } = unread.at(-1) ?? {};
  return { subjects, unread: hasRead || unread.length === 0 ? unread : [{ id: undefined, error }] };
}

const nothingOf = (source: Source, error: unknown): SourcePage => ({
  source,
  subjects: [],
  conditions: [],
  unread: [{ id: undefined, error }],
});
