import type { EntityManager } from 'typeorm';
import { select } from '../dialect/statement.js';
import type { Spark } from '../spark.js';
import type { ExplainedDelivery, ExplainedEvent, ExplainedSource, Explanation, YieldedEvent } from './explain.js';

type Facts = Omit<Explanation, 'words'>;

/** What the sentences about deliveries need to know besides. */
interface Workers {
  readonly now: number;
  /** How many processes handle deliveries. */
  readonly count: number;
  /** When each handler was last seen, of those that nobody has had for `handlerExpiry`. */
  readonly orphans: ReadonlyMap<string, Date>;
}

/** Says in sentences why something did or did not happen. */
export async function wordsOf(manager: EntityManager, spark: Spark, facts: Facts, now: number): Promise<string[]> {
  const workers = await workersOf(manager, spark, now);
  const yielded = new Set(facts.sources.flatMap(({ events }) => events.map(({ key }) => key)));
  return [
    ...present(facts),
    ...facts.sources.flatMap((source) => sourceWords(source, facts, now)),
    ...facts.events.flatMap((event) => [
      entered(event, yielded.has(event.key), facts),
      ...event.deliveries.map((delivery) => `${event.key} → ${delivered(delivery, workers)}`),
    ]),
  ];
}

function present({ entity, id, exists, sources }: Facts): string[] {
  if (!exists) return [`There is no ${entity} ${id}: its sources say nothing.`];
  if (sources.length === 0) return [`${entity} has no source in this process.`];
  return sources
    .filter(({ isAbout }) => !isAbout)
    .map(({ source }) => `${source} is not about ${entity} ${id}: its where, query or withDeleted leaves it out.`);
}

function sourceWords({ source, live, events, error, isAbout }: ExplainedSource, facts: Facts, now: number): string[] {
  if (error !== undefined) {
    const again = facts.looks.find(({ attempt }) => attempt > 0);
    const otherwise = live
      ? 'It is looked at again when it is saved, and by each sweep.'
      : 'Each sweep looks at it again.';
    const then = again ? `It is looked at again ${when(again.due, now)}.` : otherwise;
    return [`${source} throws (${error.split('\n')[0]}). ${then}`];
  }
  if (!isAbout) return [];
  if (events.length === 0) return [`${source} yields nothing for it now.`];
  const known = new Set(facts.events.map(({ key }) => key));
  return events.flatMap((event) => (known.has(event.key) ? [] : [`${event.key}: ${absent(event, live, facts, now)}`]));
}

/** Why an event that its source yields is not in the ledger. */
function absent({ verdict, at, reason }: YieldedEvent, live: boolean, { looks }: Facts, now: number): string {
  if (verdict === 'never') return 'it has no date, so it never becomes true.';
  if (verdict === 'over') return 'it was not entered in time: its until is past.';
  if (verdict === 'refused') return `it cannot be entered: ${reason}`;
  const bySweep = live ? 'the next save or sweep enters it.' : 'its source is not live; the next sweep enters it.';
  if (verdict === 'true') {
    const isDue = looks.some(({ due, attempt }) => due.getTime() <= now && attempt === 0);
    return isDue ? 'it is true; a look at the entity is due.' : `it is true, but nobody has looked since; ${bySweep}`;
  }
  const due = Math.ceil(at!.getTime());
  const isPlanned = looks.some((look) => look.due.getTime() === due);
  const then = isPlanned ? 'The entity is looked at then.' : `No look is on the agenda for then; ${bySweep}`;
  return `it becomes true ${when(at!, now)}. ${then}`;
}

function entered({ key, source, of, recorded, deliveries }: ExplainedEvent, isYielded: boolean, facts: Facts): string {
  if (of !== undefined)
    return (
      `${key} was entered by ${of}, found by ${source}, ${recorded.toISOString()}. So ${facts.entity} ${facts.id} never ` +
      `enters it: keys are unique. Give the events of each entity a group of their own.`
    );
  const by = source === undefined ? 'emitted' : `entered, found by ${source},`;
  const since = source === undefined || isYielded ? '' : ' Its source does not yield it any more.';
  const nobody =
    deliveries.length === 0 ? ' It has no deliveries: no handler matched its group, or they were pruned.' : '';
  return `${key} was ${by} ${recorded.toISOString()}.${since}${nobody}`;
}

function delivered(delivery: ExplainedDelivery, { now, count, orphans }: Workers): string {
  const { handler, state, attempt, due, finished, durationMs, error } = delivery;
  const cause = error === undefined ? '' : `: ${error.split('\n')[0]}`;
  const tries = attempt === 1 ? '1 attempt' : `${attempt} attempts`;
  if (state === 'completed')
    return `${handler}: completed ${finished?.toISOString()}, after ${tries}, in ${durationMs ?? 0} ms.`;
  if (state === 'skipped') return `${handler}: skipped ${finished?.toISOString()}${cause}`;
  if (state === 'discarded') return `${handler}: discarded ${finished?.toISOString()}, after ${tries}${cause}`;
  if (state === 'running') return `${handler}: running, attempt ${attempt}.`;
  if (state === 'held')
    return `${handler}: held, as its group's first sweep found more than activation.limit; release or discard the group.`;
  const orphaned = orphans.get(handler);
  if (orphaned) return `${handler}: waits, but no process has had this handler since ${orphaned.toISOString()}.`;
  if (due.getTime() > now) return `${handler}: failed ${tries}, tried again ${when(due, now)}${cause}`;
  return `${handler}: waits for a worker; ${count === 0 ? 'no process is working.' : `${count} processes work.`}`;
}

async function workersOf(manager: EntityManager, spark: Spark, now: number): Promise<Workers> {
  const { dialect, tables, settings } = spark;
  const [row] = await select<{ n: string }>(
    manager,
    `SELECT COUNT(*) AS n FROM ${tables.worker} WHERE lease_until >= ${dialect.clock}`,
  );
  const orphans = await select<{ name: string; last_seen_at: string }>(
    manager,
    `SELECT name, last_seen_at FROM ${tables.handler} WHERE last_seen_at <= :expired`,
    { expired: now - settings.handlerExpiry },
  );
  return {
    now,
    count: Number(row!.n),
    orphans: new Map(orphans.map(({ name, last_seen_at: seen }) => [name, new Date(Number(seen))])),
  };
}

function when(instant: Date, now: number): string {
  return instant.getTime() <= now ? 'now' : `at ${instant.toISOString()}`;
}
