import type { Planned, PlannedCancellation, PlannedEvent, PlannedProblem } from 'nestjs-spark';

/** What a plan says, counted and in part. */
export interface PlanReading {
  /** How many events of each group happen on each day, in UTC. */
  readonly days: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** Some of the events that were asked for. */
  readonly events: readonly PlannedEvent[];
  readonly cancellations: readonly PlannedCancellation[];
  readonly problems: readonly { readonly problem: PlannedProblem; readonly count: number }[];
  /** How many events are known to become true after the end. */
  readonly later: number;
  /** Whether reading stopped before the end of the plan. */
  readonly isCut: boolean;
}

/** Which events of a plan are listed. */
export interface ListedEvents {
  readonly day: string | undefined;
  readonly group: string | undefined;
}

// A page must not take long, and must not be long.
const MOST_TIME = 5_000;
const MOST_RESULTS = 50_000;
const MOST_LISTED = 100;

export const dayOf = (at: Date): string => at.toISOString().slice(0, 10);

/** Reads a plan until it ends, or the time is over. */
export async function readPlan(plan: AsyncIterable<Planned>, listed: ListedEvents): Promise<PlanReading> {
  const days = new Map<string, Map<string, number>>();
  const problems = new Map<string, { problem: PlannedProblem; count: number }>();
  const reading = { events: [] as PlannedEvent[], cancellations: [] as PlannedCancellation[], later: 0, isCut: false };
  const started = performance.now();
  let results = 0;
  for await (const planned of plan) {
    if (planned.outcome === 'enter') addEvent(planned, days, reading.events, listed);
    else if (planned.outcome === 'schedule') reading.later++;
    else if (planned.outcome === 'cancel') addSome(reading.cancellations, planned);
    else if (planned.outcome === 'fail' || planned.outcome === 'unreliable') addProblem(planned, problems);
    reading.isCut = ++results >= MOST_RESULTS || performance.now() - started > MOST_TIME;
    if (reading.isCut) break;
  }
  return { ...reading, days, problems: [...problems.values()] };
}

function addEvent(
  planned: PlannedEvent,
  days: Map<string, Map<string, number>>,
  events: PlannedEvent[],
  { day, group }: ListedEvents,
) {
  const on = dayOf(planned.at);
  let groups = days.get(on);
  if (!groups) days.set(on, (groups = new Map()));
  groups.set(planned.group, (groups.get(planned.group) ?? 0) + 1);
  if ((day === undefined || day === on) && (group === undefined || group === planned.group)) addSome(events, planned);
}

function addSome<T>(list: T[], one: T): void {
  if (list.length < MOST_LISTED) list.push(one);
}

function addProblem(problem: PlannedProblem, problems: Map<string, { problem: PlannedProblem; count: number }>): void {
  const kind = JSON.stringify([problem.outcome, problem.source]);
  const known = problems.get(kind);
  if (known) known.count++;
  else problems.set(kind, { problem, count: 1 });
}
