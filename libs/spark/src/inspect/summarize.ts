import { fingerprintOf } from '../error/fingerprint.js';
import type { InitialState } from '../database/delivery-states.js';
import type { Source } from '../source/source.js';
import type { Inspected } from './inspected.js';
import { type PlannedPage, plannedPages } from './plan.js';
import type { PlannedGroup, PlannedProblems, PlanSummary } from './plan-summary.js';
import type { PlannedEvent, PlannedProblem, PlanRequest, PlanWatch } from './planned.js';

const SAMPLES = 5;
// With more kinds of problems, those of a source count as one kind.
const MOST_KINDS = 1_000;

/** Counts what a plan yields. It keeps counts and samples only. Throws the reason of the signal. */
export async function summarize(spark: Inspected, request: PlanRequest, watch: PlanWatch): Promise<PlanSummary> {
  const started = performance.now();
  const counts = new PlanCounts(request.now);
  for await (const page of plannedPages(spark, request, watch)) counts.add(page);
  const groups: PlannedGroup[] = [];
  for (const [source, own] of counts.bySource()) groups.push(...(await groupsOf(spark, source, own)));
  groups.sort((a, b) => b.enter - a.enter || b.later - a.later || b.schedule - a.schedule);
  const sum = (figure: (group: PlannedGroup) => number) => groups.reduce((all, group) => all + figure(group), 0);
  return {
    at: new Date(request.end),
    read: counts.read,
    total: {
      enter: sum(({ enter }) => enter),
      later: sum(({ later }) => later),
      schedule: sum(({ schedule }) => schedule),
      deliveries: sum(({ handlers }) => handlers.reduce((all, { deliveries }) => all + deliveries, 0)),
      held: sum((group) => (group.deliveries !== 'available' ? group.enter * group.handlers.length : 0)),
    },
    groups,
    problems: counts.problems,
    durationMs: Math.round(performance.now() - started),
  };
}

/** The groups of a source, with what becomes of their deliveries. */
async function groupsOf(spark: Inspected, source: string, counts: readonly GroupCount[]): Promise<PlannedGroup[]> {
  const known = spark.sources.named(source)!;
  const first = spark.adoption.stateOf(known, { at: null });
  const swept = await sweptGroups(spark, known);
  const isNew = ({ group }: GroupCount) => swept.get(group) !== true;
  const held = counts.some(isNew)
    ? await spark.held.count(spark.dataSource.manager, { source })
    : new Map<string, number>();
  return counts.map((count) => {
    const opened = count.enter * count.handlers.size + (held.get(count.group) ?? 0);
    const isReleased = first === 'held' && opened <= spark.settings.activation.limit;
    return plannedGroup(count, isNew(count) && !isReleased ? first : 'available');
  });
}

/** The groups that sweeps of a source have yielded, and whether one of these sweeps has been completed. */
async function sweptGroups({ activation, adoption }: Inspected, source: Source): Promise<Map<string, boolean>> {
  const swept = new Map<string, boolean>();
  for (const name of adoption.namesOf(source))
    for (const [group, isSwept] of await activation.groupsOf(name))
      swept.set(group, isSwept || swept.get(group) === true);
  return swept;
}

function plannedGroup({ handlers, first, last, ...count }: GroupCount, deliveries: InitialState): PlannedGroup {
  return {
    ...count,
    handlers: [...handlers].map(([handler, own]) => ({ handler, deliveries: own })),
    deliveries,
    first: new Date(first),
    last: new Date(last),
  };
}

interface GroupCount {
  readonly entity: string;
  readonly source: string;
  readonly group: string;
  enter: number;
  later: number;
  schedule: number;
  readonly handlers: Map<string, number>;
  first: number;
  last: number;
  readonly samples: PlannedEvent[];
}

type ProblemCount = { -readonly [K in keyof PlannedProblems]: PlannedProblems[K] };

/** The counts of a plan so far. */
class PlanCounts {
  read = 0;
  private readonly groups = new Map<string, Map<string, GroupCount>>();
  private readonly byKind = new Map<string, ProblemCount>();

  constructor(private readonly now: number) {}

  get problems(): PlannedProblems[] {
    return [...this.byKind.values()];
  }

  bySource(): [string, GroupCount[]][] {
    return [...this.groups].map(([source, groups]) => [source, [...groups.values()]]);
  }

  add({ planned, read }: PlannedPage): void {
    this.read += read;
    for (const one of planned) {
      if ('key' in one) this.addEvent(one);
      else if (one.outcome !== 'cancel') this.addProblem(one);
    }
  }

  private addEvent(event: PlannedEvent): void {
    const count = this.groupOf(event);
    const isLater = event.at.getTime() > this.now;
    if (event.outcome === 'schedule') count.schedule++;
    else if (isLater) count.later++;
    else count.enter++;
    for (const handler of event.handlers) {
      const more = event.outcome === 'schedule' ? 0 : 1;
      count.handlers.set(handler, (count.handlers.get(handler) ?? 0) + more);
    }
    const happens = (event.eventAt ?? event.at).getTime();
    count.first = Math.min(count.first, happens);
    count.last = Math.max(count.last, happens);
    if (count.samples.length < SAMPLES) count.samples.push(event);
  }

  private groupOf({ entity, source, group }: PlannedEvent): GroupCount {
    let groups = this.groups.get(source);
    if (!groups) this.groups.set(source, (groups = new Map()));
    let count = groups.get(group);
    if (!count) {
      const none = { enter: 0, later: 0, schedule: 0, first: Infinity, last: -Infinity };
      groups.set(group, (count = { entity, source, group, ...none, handlers: new Map(), samples: [] }));
    }
    return count;
  }

  private addProblem(problem: PlannedProblem): void {
    const { outcome, source, entity, reason } = problem;
    const isFull = this.byKind.size >= MOST_KINDS;
    const kind = [outcome, source, isFull ? '' : fingerprintOf(reason)].join(' ');
    const known = this.byKind.get(kind);
    if (known) known.count++;
    else this.byKind.set(kind, { outcome, source, entity, count: 1, sample: problem });
  }
}
