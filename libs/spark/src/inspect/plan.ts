import type { EntityManager, EntityMetadata } from 'typeorm';
import { chunks, select } from '../database/statement.js';
import { InvalidEventError } from '../error/invalid-event.error.js';
import { textOf } from '../error/text-of.js';
import { Derivation } from '../record/derivation.js';
import type { Source } from '../source/source.js';
import type { Inspected } from './inspected.js';
import { pageOfKeys, readSubjects, type Subject } from '../entity/subjects.js';
import { readsClock } from '../source/clock-reads.js';
import { PlannedConditions } from './planned-conditions.js';
import { sweepSlots } from './sweep-slots.js';
import { cancellations } from './plan-cancellations.js';
import type { Planned, PlannedEvent, PlannedProblem, PlanRequest } from './planned.js';

const PAGE = 500;
const MOST_STEPS = 1_000;
// For how many entities of each page the clock reads are checked. A check runs the source once more.
const CHECKED = 20;

/** Yields what would happen up to an instant if no entity changed, page by page. It enters nothing. */
export async function* plan(spark: Inspected, request: PlanRequest): AsyncGenerator<Planned> {
  const slots = sweepSlots(spark.settings.sweep, request.now, request.end);
  for (const metadata of request.entities) {
    const reported = new Set<Source>();
    for (let after: string | undefined, isEnd = false; !isEnd;) {
      const last = after;
      const keys = await spark.transactions.readOnly((manager) => keysOf(manager, metadata, last, request.id));
      yield* await new PagePlan(spark, metadata, request, slots, reported).of(keys);
      after = keys.at(-1);
      isEnd = keys.length < PAGE;
    }
  }
  yield* cancellations(spark, request);
}

async function keysOf(manager: EntityManager, metadata: EntityMetadata, after: string | undefined, id?: string) {
  if (id !== undefined) return [id];
  return pageOfKeys(manager, { metadata, options: { withDeleted: true } }, { after, limit: PAGE });
}

/** The plan of a page of entities. It runs the sources of each entity at every instant at which something becomes true. */
class PagePlan {
  private readonly subjects = new Map<Source, Map<string, Subject>>();
  private readonly entered = new Map<string, PlannedEvent>();
  /** The keys of events that have an `at`. */
  private readonly dated = new Set<string>();
  private readonly problems = new Map<string, PlannedProblem>();
  private readonly conditions = new PlannedConditions();

  constructor(
    private readonly spark: Inspected,
    private readonly metadata: EntityMetadata,
    private readonly request: PlanRequest,
    /** The instants at which sweeps run. */
    private readonly slots: readonly number[],
    /** The sources that were reported because they read another clock. */
    private readonly reported: Set<Source>,
  ) {}

  async of(keys: readonly string[]): Promise<Planned[]> {
    if (keys.length === 0) return [];
    const { now, end } = this.request;
    const sources = this.spark.sources.of(this.metadata);
    for (const source of sources) {
      await this.conditions.read(this.spark, source, keys);
      const subjects = await this.read(source, keys);
      this.subjects.set(source, new Map(subjects.map((subject) => [subject.ref.id, subject])));
      await this.checkClock(source, subjects.slice(0, CHECKED));
    }
    let last = await this.recheck(sources, keys, now);
    if (end > now) {
      const live = this.spark.sources.liveOf(this.metadata);
      const instants = new Map<string, Set<number>>();
      for (const { id, due } of last.dates) instants.set(id, (instants.get(id) ?? new Set()).add(due));
      for (const [id, own] of instants) await this.pass(live, id, own);
      // Sweeps find the events that become true with time but have no `at`.
      for (const slot of this.slots) await this.recheck(sources, keys, slot);
      const before = new Set(this.entered.keys());
      last = await this.recheck(sources, keys, end);
      if (this.slots.length === 0) this.reportTime(sources, before);
    }
    return [...this.problems.values(), ...(await this.unknown([...this.entered.values(), ...last.future]))];
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

  private async read(source: Source, keys: readonly string[]): Promise<Subject[]> {
    try {
      return await this.spark.transactions.readOnly((manager) => readSubjects(manager, source, keys));
    } catch (error) {
      this.problem('fail', source, undefined, `its entities cannot be read: ${textOf(error)}`);
      return [];
    }
  }

  /** Rechecks one entity at every instant before the end at which something becomes true. */
  private async pass(live: readonly Source[], id: string, instants: Set<number>): Promise<void> {
    const { end } = this.request;
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
    const dates: { source: Source; id: string; due: number }[] = [];
    const future: PlannedEvent[] = [];
    for (const source of sources) {
      const known = this.subjects.get(source)!;
      const derivation = new Derivation(instant, () => 0);
      this.conditions.tell(source, derivation);
      await derivation.run(
        source,
        ids.flatMap((id) => known.get(id) ?? []),
      );
      dates.push(...this.conditions.change(source, derivation, instant));
      // Missed instants of events that repeat are found again at each instant.
      const isKnown = ({ key }: { key: string }) => (this.entered.get(key)?.at.getTime() ?? Infinity) <= instant;
      derivation.found = derivation.found.filter((found) => !isKnown(found));
      for (const { key, group, entityId, at: dated } of await derivation.written(this.spark.codec)) {
        const event = this.planned('enter', source, { key, group }, entityId ?? undefined, instant);
        if (dated !== null) this.dated.add(key);
        const earlier = this.entered.get(key);
        if (!earlier || event.at < earlier.at) this.entered.set(key, event);
      }
      for (const { event, at, ref } of derivation.future)
        future.push(this.planned('schedule', source, event, ref?.id, at));
      dates.push(...derivation.rechecks.map(({ ref, due }) => ({ source, id: ref.id, due })));
      for (const { ref, error } of derivation.failures) this.problem('fail', source, ref.id, textOf(error));
      for (const error of derivation.refused)
        this.problem('fail', source, error instanceof InvalidEventError ? error.origin.id : undefined, error.message);
    }
    return { dates, future };
  }

  /** The events whose keys are not in the ledger yet, each key once, sorted by date. */
  private async unknown(events: readonly PlannedEvent[]): Promise<PlannedEvent[]> {
    const byKey = new Map<string, PlannedEvent>();
    for (const event of events) if (!byKey.has(event.key)) byKey.set(event.key, event);
    const known = await this.spark.transactions.readOnly((manager) =>
      knownKeys(manager, this.spark, [...byKey.keys()]),
    );
    return [...byKey.values()].filter(({ key }) => !known.has(key)).sort((a, b) => Number(a.at) - Number(b.at));
  }

  private planned(
    outcome: 'enter' | 'schedule',
    { name: source, metadata }: Source,
    { key, group }: { key: string; group: string },
    id: string | undefined,
    at: number,
  ): PlannedEvent {
    const handlers = this.spark.registered.matching(group).map(({ name }) => name);
    return { outcome, source, entity: metadata.name, id, group, key, at: new Date(at), handlers };
  }

  /** Reports a source that reads another clock. It checks several entities, because the branch that a source takes depends on the entity. */
  private async checkClock(source: Source, subjects: readonly Subject[]): Promise<void> {
    const entities = subjects.map(({ entity }) => entity);
    for (const given of source.options.batch && entities.length > 0 ? [entities] : entities) {
      if (this.reported.has(source)) return;
      // An error of the source is reported by `recheck`.
      if (!(await readsClock(source, given, this.request.now).catch(() => false))) continue;
      this.reported.add(source);
      const reason =
        'it reads the clock of the process, so a plan for another instant is wrong. Use scope.now instead.';
      this.problem('unreliable', source, undefined, reason);
    }
  }

  private problem(outcome: 'fail' | 'unreliable', source: Source, id: string | undefined, text: string): void {
    const reason = text.split('\n')[0]!;
    const problem = { outcome, source: source.name, entity: source.metadata.name, id, reason };
    this.problems.set(JSON.stringify(problem), problem);
  }
}

async function knownKeys(manager: EntityManager, { tables }: Inspected, keys: readonly string[]): Promise<Set<string>> {
  const known = new Set<string>();
  for (const part of chunks(keys, PAGE)) {
    const sql = `SELECT event_key FROM ${tables.event} WHERE event_key IN (:...keys)`;
    const rows = await select<{ event_key: string }>(manager, sql, { keys: part });
    for (const { event_key: key } of rows) known.add(key);
  }
  return known;
}
