import { InvalidEventError } from '../error/invalid-event.error.js';
import { SourceTimeoutError } from '../error/source-timeout.error.js';
import { textOf } from '../error/text-of.js';
import { rootOf, tableOf } from '../entity/entity-table.js';
import type { Subject } from '../entity/subjects.js';
import { CHAIN_START } from '../event/chain.js';
import { Derivation } from '../record/derivation.js';
import { watchedSource } from '../source/clock-reads.js';
import type { Source } from '../source/source.js';
import type { Inspected } from './inspected.js';
import { KnownKeys } from './known-keys.js';
import type { PlanPage } from './plan-pages.js';
import { PlannedConditions } from './planned-conditions.js';
import type { Planned, PlannedEvent, PlannedProblem, PlanRequest } from './planned.js';

const MOST_STEPS = 1_000;
// For how many entities of each page the clock reads are checked.
const CHECKED = 20;

/** What the pages of a plan share. */
export interface Planning {
  readonly request: PlanRequest;
  /** The instants at which sweeps run. */
  readonly slots: readonly number[];
  /** The sources that were reported because they read another clock. */
  readonly reported: Set<Source>;
  /** The sources that have timed out so often that the plan goes on without them. */
  readonly hanging: Set<Source>;
}

/** An event of a source that has a group and a key. */
type Named = Pick<PlannedEvent, 'group' | 'key'>;

/** The plan of a page of entities. It runs the sources of each entity at every instant at which something becomes true. */
export class PagePlan {
  private readonly subjects = new Map<Source, Map<string, Subject>>();
  private readonly entered = new Map<string, PlannedEvent>();
  /** The keys of events that have an `at`. */
  private readonly dated = new Set<string>();
  private readonly problems = new Map<string, PlannedProblem>();
  private readonly conditions = new PlannedConditions();
  private readonly handlers = new Map<string, readonly string[]>();
  private readonly known: KnownKeys;

  constructor(
    private readonly spark: Inspected,
    private readonly page: PlanPage,
    private readonly planning: Planning,
  ) {
    this.known = new KnownKeys(spark.dataSource.manager, spark.dialect);
  }

  async planned(): Promise<Planned[]> {
    const { now, end } = this.planning.request;
    const { keys } = this.page;
    const sources = this.begin();
    let last = await this.recheck(sources, keys, now);
    if (end > now) {
      const live = sources.filter((source) => source.live);
      const instants = new Map<string, Set<number>>();
      for (const { id, due } of last.dates) instants.set(id, (instants.get(id) ?? new Set()).add(due));
      for (const [id, own] of instants) await this.pass(live, id, own);
      // Sweeps find the events that become true with time but have no `at`.
      for (const slot of this.planning.slots) await this.recheck(sources, keys, slot);
      const before = new Set(this.entered.keys());
      last = await this.recheck(sources, keys, end);
      if (this.planning.slots.length === 0) this.reportTime(sources, before);
    }
    return [...this.problems.values(), ...(await this.unknown([...this.entered.values(), ...last.future]))];
  }

  /** Takes what was read. Returns the sources to run. */
  private begin(): Source[] {
    const pages = this.page.sources.filter(({ source }) => !this.planning.hanging.has(source));
    for (const { source, subjects, conditions, unread } of pages) {
      this.conditions.know(source, conditions);
      this.subjects.set(source, new Map(subjects.map((subject) => [subject.ref.id, subject])));
      for (const { id, error } of unread) {
        const what = id === undefined ? 'its entities cannot be read' : 'the entity cannot be read';
        this.problem('fail', source, id, `${what}: ${textOf(error)}`);
      }
    }
    return pages.map(({ source }) => source);
  }

  /** Without scheduled sweeps it is unknown when, and how often, events without an `at` are found. */
  private reportTime(sources: readonly Source[], before: ReadonlySet<string>): void {
    const late = [...this.entered.values()].filter(({ key }) => !before.has(key) && !this.dated.has(key));
    for (const source of sources) {
      if (!late.some((event) => event.source === source.name)) continue;
      const reason =
        'the events that it yields without an at depend on when it runs, and no sweep is scheduled: the plan runs it at its end only. ' +
        'Give such events an at, or schedule a sweep.';
      this.problem('unreliable', source, undefined, reason);
    }
  }

  /** Rechecks one entity at every instant before the end at which something becomes true. */
  private async pass(live: readonly Source[], id: string, instants: Set<number>): Promise<void> {
    const { end } = this.planning.request;
    let steps = 0;
    // The loop also visits instants that are added meanwhile, because a Set iterates in the order of insertion.
    for (const instant of instants) {
      if (instant >= end) continue;
      const { dates } = await this.recheck(live, [id], instant);
      const fresh = dates.filter(({ due }) => !instants.has(due));
      if (++steps >= MOST_STEPS && fresh[0])
        return this.problem(
          'fail',
          fresh[0].source,
          id,
          `it yields more than ${MOST_STEPS} dates until the end of the plan`,
        );
      for (const { due } of fresh) instants.add(due);
    }
  }

  private async recheck(sources: readonly Source[], ids: readonly string[], instant: number) {
    const derived = new Map<Source, Derivation>();
    for (const source of sources) derived.set(source, await this.derive(source, ids, instant));
    // Mostly, all events are in the ledger, and nothing else is done with them. What later instants add is looked up at the end.
    if (instant === this.planning.request.now) await this.lookUp(derived);
    const dates: { source: Source; id: string; due: number }[] = [];
    const future: PlannedEvent[] = [];
    for (const [source, derivation] of derived) {
      dates.push(...this.conditions.change(source, derivation, instant));
      await this.enter(source, derivation, instant);
      for (const { event, at, ref } of derivation.future)
        future.push(this.event('schedule', source, event, ref?.id, at, event.at?.getTime()));
      dates.push(...derivation.rechecks.map(({ ref, due }) => ({ source, id: ref.id, due })));
      this.report(source, derivation);
    }
    return { dates, future };
  }

  private async derive(source: Source, ids: readonly string[], instant: number): Promise<Derivation> {
    const { reported, hanging, request } = this.planning;
    const known = this.subjects.get(source)!;
    const subjects = ids.flatMap((id) => known.get(id) ?? []);
    const derivation = new Derivation(instant, () => CHAIN_START);
    this.conditions.tell(source, derivation);
    // Several entities are watched, because the branch that a source takes depends on the entity. A batch is one run.
    const checked = source.options.batch ? subjects.length : CHECKED;
    const isWatched = instant === request.now && !reported.has(source);
    const watched = isWatched ? watchedSource(source) : undefined;
    if (watched) await derivation.run(watched.source, subjects.slice(0, checked));
    if (watched?.reads.clock) this.reportClock(source);
    const rest = watched ? subjects.slice(checked) : subjects;
    if (rest.length > 0) await derivation.run(source, rest);
    for (const error of derivation.givenUp.values()) if (error instanceof SourceTimeoutError) hanging.add(source);
    return derivation;
  }

  private async lookUp(derived: ReadonlyMap<Source, Derivation>): Promise<void> {
    const all = [...derived].flatMap(([source, { found, future }]) => [
      ...found,
      ...future.map(({ event: { key, group }, ref }) => ({ key, group, ...of(source, ref?.id) })),
    ]);
    await this.known.lookUp(all);
  }

  /** Notes what would be entered at an instant. Missed instants of events that repeat are found again at each instant. */
  private async enter(source: Source, derivation: Derivation, instant: number): Promise<void> {
    const isKnown = ({ key }: { key: string }) =>
      this.known.has(key) || (this.entered.get(key)?.at.getTime() ?? Infinity) <= instant;
    derivation.found = derivation.found.filter((found) => !isKnown(found));
    for (const { key, group, entityId, at: dated } of await derivation.written(this.spark.codec)) {
      const event = this.event('enter', source, { key, group }, entityId ?? undefined, instant, dated ?? undefined);
      if (dated !== null) this.dated.add(key);
      const earlier = this.entered.get(key);
      if (!earlier || event.at < earlier.at) this.entered.set(key, event);
    }
  }

  /** The events whose keys are not in the ledger yet, each key once, sorted by date. */
  private async unknown(events: readonly PlannedEvent[]): Promise<PlannedEvent[]> {
    const byKey = new Map<string, PlannedEvent>();
    for (const event of events) if (!byKey.has(event.key)) byKey.set(event.key, event);
    const bySource = new Map([...this.subjects.keys()].map((source) => [source.name, source]));
    const all = [...byKey.values()];
    await this.known.lookUp(
      all.map(({ key, group, source, id }) => ({ key, group, ...of(bySource.get(source)!, id) })),
    );
    return all.filter(({ key }) => !this.known.has(key)).sort((a, b) => Number(a.at) - Number(b.at));
  }

  private event(
    outcome: 'enter' | 'schedule',
    { name: source, metadata }: Source,
    { key, group }: Named,
    id: string | undefined,
    at: number,
    eventAt: number | undefined,
  ): PlannedEvent {
    return {
      outcome,
      source,
      entity: metadata.name,
      id,
      group,
      key,
      at: new Date(at),
      eventAt: eventAt === undefined ? undefined : new Date(eventAt),
      handlers: this.handlersOf(group),
    };
  }

  private handlersOf(group: string): readonly string[] {
    const known = this.handlers.get(group);
    if (known) return known;
    const names = this.spark.registered.matching(group).map(({ name }) => name);
    this.handlers.set(group, names);
    return names;
  }

  private report(source: Source, { failures, refused }: Derivation): void {
    for (const { ref, error } of failures) this.problem('fail', source, ref.id, textOf(error));
    for (const error of refused)
      this.problem('fail', source, error instanceof InvalidEventError ? error.origin.id : undefined, error.message);
  }

  private reportClock(source: Source): void {
    // Another page may have reported it meanwhile.
    if (this.planning.reported.has(source)) return;
    this.planning.reported.add(source);
    const reason = 'it reads the clock of the process, so a plan for another instant is wrong. Use scope.now instead.';
    this.problem('unreliable', source, undefined, reason);
  }

  private problem(outcome: 'fail' | 'unreliable', source: Source, id: string | undefined, text: string): void {
    const reason = text.split('\n')[0]!;
    const problem = { outcome, source: source.name, entity: source.metadata.name, id, reason };
    this.problems.set(JSON.stringify(problem), problem);
  }
}

/** The entity of an event, as the ledger names it. */
const of = ({ metadata }: Source, id: string | undefined) => ({
  entity: tableOf(rootOf(metadata)),
  entityId: id ?? null,
});
