import type { Planned, PlannedCancellation, PlannedEvent, PlannedProblem } from 'nestjs-spark';

/** What a plan says, counted and in part. */
export interface PlanReading {
  /** How many events of each group happen on each day, in UTC. */
  readonly days: ReadonlyMap<string, ReadonlyMap<string, number>>;
  /** Some of the events that were asked for, and how many there are. */
  readonly events: readonly PlannedEvent[];
  readonly chosen: number;
  /** Some of the cancellations, and how many there are. */
  readonly cancellations: readonly PlannedCancellation[];
  readonly cancelled: number;
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

// A page must end some day, and must not be long. It shows how far it is meanwhile, and can be stopped.
const MOST_TIME = 60_000;
const MOST_RESULTS = 1_000_000;
const MOST_LISTED = 100;

export const dayOf = (at: Date): string => at.toISOString().slice(0, 10);

/** Reads a plan until it ends, or the time is over. */
export async function readPlan(plan: AsyncIterable<Planned>, listed: ListedEvents): Promise<PlanReading> {
  const counts = new PlanCounts(listed);
  const started = performance.now();
  let results = 0;
  let isCut = false;
  for await (const planned of plan) {
    counts.add(planned);
    isCut = ++results >= MOST_RESULTS || performance.now() - started > MOST_TIME;
    if (isCut) break;
  }
  return { ...counts.reading(), isCut };
}

class PlanCounts {
  private readonly days = new Map<string, Map<string, number>>();
  private readonly problems = new Map<string, { problem: PlannedProblem; count: number }>();
  private readonly events: PlannedEvent[] = [];
  private readonly cancellations: PlannedCancellation[] = [];
  private chosen = 0;
  private cancelled = 0;
  private later = 0;

  constructor(private readonly listed: ListedEvents) {}

  add(planned: Planned): void {
    if (planned.outcome === 'enter') this.addEvent(planned);
    else if (planned.outcome === 'schedule') this.later++;
    else if (planned.outcome === 'cancel') {
      this.cancelled++;
      addSome(this.cancellations, planned);
    } else if (planned.outcome === 'fail' || planned.outcome === 'unreliable') this.addProblem(planned);
  }

  reading(): Omit<PlanReading, 'isCut'> {
    const { days, events, chosen, cancellations, cancelled, later } = this;
    return { days, events, chosen, cancellations, cancelled, later, problems: [...this.problems.values()] };
  }

  private addEvent(planned: PlannedEvent): void {
    const { day, group } = this.listed;
    const on = dayOf(planned.at);
    let groups = this.days.get(on);
    if (!groups) this.days.set(on, (groups = new Map()));
    groups.set(planned.group, (groups.get(planned.group) ?? 0) + 1);
    if ((day !== undefined && day !== on) || (group !== undefined && group !== planned.group)) return;
    this.chosen++;
    addSome(this.events, planned);
  }

  private addProblem(problem: PlannedProblem): void {
    const kind = JSON.stringify([problem.outcome, problem.source]);
    const known = this.problems.get(kind);
    if (known) known.count++;
    else this.problems.set(kind, { problem, count: 1 });
  }
}

function addSome<T>(list: T[], one: T): void {
  if (list.length < MOST_LISTED) list.push(one);
}
