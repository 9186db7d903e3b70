import { prefetch } from '../sweep/prefetch.js';
import type { Source } from '../source/source.js';
import type { Inspected } from './inspected.js';
import { cancellations } from './plan-cancellations.js';
import { PagePlan, type Planning } from './plan-page.js';
import { pagesOf, type PlanPage } from './plan-pages.js';
import type { Planned, PlanRequest, PlanWatch } from './planned.js';
import { SharedKeys } from './shared-keys.js';
import { sweepSlots } from './sweep-slots.js';

// While one page waits for the database, the sources run on the other one.
const PLANNED_AT_ONCE = 2;

/** What would happen to a page of entities. */
export interface PlannedPage {
  readonly planned: readonly Planned[];
  /** How many entities were read, for each source. */
  readonly read: number;
}

/** Yields what would happen up to an instant if no entity changed, page by page. It enters nothing. */
export async function* plan(spark: Inspected, request: PlanRequest, watch: PlanWatch = {}): AsyncGenerator<Planned> {
  for await (const { planned } of plannedPages(spark, request, watch)) yield* planned;
  yield* cancellations(spark, request, watch.signal);
}

/**
 * The same, without the rechecks that no event needs any more. While the consumer works on a page, the next ones are read and planned.
 */
export async function* plannedPages(
  spark: Inspected,
  request: PlanRequest,
  { onProgress, signal }: PlanWatch,
): AsyncGenerator<PlannedPage> {
  let read = 0;
  signal?.throwIfAborted();
  const slots = sweepSlots(spark.settings.sweep, request.now, request.end);
  const shared = new SharedKeys();
  for (const metadata of request.entities) {
    const planning: Planning = { request, slots, reported: new Set<Source>(), hanging: new Set<Source>() };
    const pages = prefetch(pagesOf(spark, metadata, request.id), (page) => page);
    const planned = prefetch(pages, (page) => plannedPage(spark, page, planning), PLANNED_AT_ONCE);
    for await (const page of planned) {
      yield { ...page, planned: page.planned.filter((one) => !('key' in one) || shared.isFirst(one)) };
      onProgress?.((read += page.read));
      signal?.throwIfAborted();
    }
  }
}

async function plannedPage(spark: Inspected, page: PlanPage, planning: Planning): Promise<PlannedPage> {
  const planned = await new PagePlan(spark, page, planning).planned();
  return { planned, read: page.sources.reduce((sum, { subjects }) => sum + subjects.length, 0) };
}
