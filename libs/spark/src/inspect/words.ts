import type { EntityManager } from 'typeorm';
import { select } from '../database/statement.js';
import type { Inspected } from './inspected.js';
import type { ExplainedDelivery, ExplainedEvent, ExplainedSource, Explanation, YieldedEvent } from './explanation.js';

type Facts = Omit<Explanation, 'words'>;

// How many characters of an error a sentence has at most.
const LONGEST = 500;

/** What the sentences about deliveries need besides the facts. */
interface Workers {
  readonly now: number;
  /** How many processes handle deliveries. */
  readonly count: number;
  /** When each handler that no process has now was last seen. */
  readonly orphans: ReadonlyMap<string, Date>;
  /** Since when each paused handler is paused. */
  readonly paused: ReadonlyMap<string, Date>;
}

/**
 * Returns sentences that say why something did or did not happen.
 *
 * @param holds whether a source still yields an event of the ledger
 */
export async function wordsOf(
  manager: EntityManager,
  spark: Inspected,
  facts: Facts,
  holds: (event: ExplainedEvent) => boolean,
  now: number,
): Promise<string[]> {
  const workers = await workersOf(manager, spark, now);
  const yielded = new Map(facts.sources.flatMap(({ events }) => events.map((event) => [event.key, event])));
  return [
    ...present(facts),
    ...facts.sources.flatMap((source) => sourceWords(spark, source, facts, now)),
    ...facts.events.flatMap((event) => [
      entered(event, yielded.get(event.key), holds(event), facts, now),
      ...event.deliveries.map((delivery) => `${event.key} → ${delivered(delivery, workers)}`),
    ]),
  ];
}

function present({ entity, id, exists, sources }: Facts): string[] {
  if (!exists) return [`There is no ${entity} ${id}: its sources yield nothing.`];
  if (sources.length === 0) return [`${entity} has no source in this process.`];
  return sources
    .filter(({ isAbout }) => !isAbout)
    .map(({ source }) => `${source} is not about ${entity} ${id}: its where, query or withDeleted leaves it out.`);
}

function sourceWords(
  { counters }: Inspected,
  { source, live, events, error, isAbout }: ExplainedSource,
  facts: Facts,
  now: number,
): string[] {
  if (error !== undefined) {
    const again = facts.rechecks.find(({ attempt }) => attempt > 0);
    const otherwise = live ? 'It is rechecked when it is saved, and by each sweep.' : 'Each sweep rechecks it.';
    const then = again ? `It is rechecked ${when(again.due, now)}.` : otherwise;
    return [`${source} throws (${saidBy(error)}). ${then}`];
  }
  if (!isAbout) return [];
  if (events.length === 0) return [`${source} yields nothing for it now.`];
  const known = new Set(facts.events.map(({ key }) => key));
  return events.flatMap((event) => {
    if (known.has(event.key)) return [];
    const refusal = event.verdict === 'true' ? counters.refusalOf(event.key) : undefined;
    const why = refusal
      ? `it was refused at ${refusal.at.toISOString()}: ${refusal.reason}`
      : absent(event, live, facts, now);
    return [`${event.key}: ${why}`];
  });
}

/** Why an event that its source yields is not in the ledger. */
function absent({ verdict, at, since, reason }: YieldedEvent, live: boolean, { rechecks }: Facts, now: number): string {
  if (verdict === 'never') return 'it has no date, so it never becomes true.';
  if (verdict === 'over') return reason ?? 'it was not entered in time: its until is past.';
  if (verdict === 'refused') return `it cannot be entered: ${reason}`;
  const bySweep = live ? 'the next save or sweep enters it.' : 'its source is not live; the next sweep enters it.';
  if (verdict === 'true') {
    const isDue = rechecks.some(({ due, attempt }) => due.getTime() <= now && attempt === 0);
    return isDue
      ? 'it is true; a recheck of the entity is due.'
      : `it is true, but the entity has not been rechecked since; ${bySweep}`;
  }
  if (at === undefined)
    return `its trueFor has not begun: no recheck has found it yet; ${bySweep.replace('enters it', 'begins it')}`;
  const due = Math.ceil(at.getTime());
  const isPlanned = rechecks.some((recheck) => recheck.due.getTime() === due);
  const then = isPlanned ? 'The entity is rechecked then.' : `No recheck is due then; ${bySweep}`;
  if (since !== undefined)
    return `it has been yielded since ${since.toISOString()}, and becomes true ${when(at, now)} if it does not stop. ${then}`;
  return `it becomes true ${when(at, now)}. ${then}`;
}

function entered(
  event: ExplainedEvent,
  yielded: YieldedEvent | undefined,
  holds: boolean,
  facts: Facts,
  now: number,
): string {
  const { key, source, of, recorded, deliveries } = event;
  if (of !== undefined)
    return (
      `${key} was entered by ${of}, found by ${source}, ${recorded.toISOString()}. It is not entered for ` +
      `${facts.entity} ${facts.id}: keys are unique. Give the events of each entity a group of their own.`
    );
  const by = source === undefined ? 'emitted' : `entered, found by ${source},`;
  const since = source === undefined || yielded || holds ? '' : ' Its source no longer yields it.';
  const unhandled =
    deliveries.length === 0 ? ' It has no deliveries: no handler matched its group, or they were pruned.' : '';
  return `${key} was ${by} ${recorded.toISOString()}.${since}${yielded ? spent(event, yielded, now) : ''}${unhandled}`;
}

/** Why an event that was entered does not happen again at another date. */
function spent({ at: then }: ExplainedEvent, { at, since, key }: YieldedEvent, now: number): string {
  if (at === undefined || at.getTime() === then?.getTime())
    return since ? ` It has been yielded since ${since.toISOString()}.` : '';
  if (since)
    return (
      ` However, it has been yielded without a break only since ${since.toISOString()}: it does not happen again, because each key is ` +
      `entered once. To get an event each time, give it an occurrence, such as the date at which its condition began.`
    );
  const date = `its date is ${at.toISOString()} now${then ? `, and was ${then.toISOString()} then` : ''}`;
  const never = at.getTime() > now ? 'it will not happen then' : 'it has not happened then';
  return (
    ` However, ${date}: ${never}, because the key ${key} was entered already, and each key is entered once. To get an event for ` +
    `each date, give it an occurrence: sparkEvent(…, { at, occurrence: eachValue(at) }).`
  );
}

/** The messages of an error and its causes, without the stacks. */
function saidBy(error: string): string {
  const lines = error.split('\n').filter((line) => !/^\s+at /.test(line));
  return lines.join('; ').slice(0, LONGEST);
}

function delivered(delivery: ExplainedDelivery, { now, count, orphans, paused }: Workers): string {
  const { handler, state, attempt, due, finished, durationMs, error, digest, dispatched } = delivery;
  const cause = error === undefined ? '' : `: ${saidBy(error)}`;
  const tries = attempt === 1 ? '1 attempt' : `${attempt} attempts`;
  if (state === 'completed')
    return `${handler}: completed ${finished?.toISOString()}, after ${tries}, in ${durationMs ?? 0} ms.`;
  if (state === 'skipped') return `${handler}: skipped ${finished?.toISOString()}${cause}`;
  if (state === 'discarded') return `${handler}: discarded ${finished?.toISOString()}, after ${tries}${cause}`;
  if (state === 'running') return `${handler}: running, attempt ${attempt}.`;
  if (state === 'held')
    return `${handler}: held, because the first sweep of its group found more than activation.limit; release or discard the group.`;
  const orphaned = orphans.get(handler);
  if (orphaned) return `${handler}: waits, but no process has had this handler since ${orphaned.toISOString()}.`;
  const failed = attempt === 0 ? 'waits' : `failed ${tries}`;
  const before = error === undefined ? '.' : `. Before that it ${attempt === 0 ? 'was put off' : failed}${cause}`;
  const pausedSince = paused.get(handler);
  if (pausedSince)
    return `${handler}: waits, as the handler is paused since ${pausedSince.toISOString()}, until resumeHandler${before}`;
  if (dispatched && due.getTime() > now)
    return `${handler}: is on its way to a process by the carrier; if it gets lost, it is back ${when(due, now)}${before}`;
  if (digest !== undefined && due.getTime() > now && attempt === 0)
    return `${handler}: waits for others of the digest ${digest}, which is called ${when(due, now)} at the latest${before}`;
  if (due.getTime() > now) return `${handler}: ${failed}, next attempt ${when(due, now)}${cause}`;
  const workers = count === 0 ? 'no process is working' : count === 1 ? '1 process works' : `${count} processes work`;
  return `${handler}: waits for a worker; ${workers}${before}`;
}

async function workersOf(manager: EntityManager, spark: Inspected, now: number): Promise<Workers> {
  const { dialect, tables } = spark;
  const [row] = await select<{ n: string }>(
    manager,
    `SELECT COUNT(*) AS n FROM ${tables.worker} WHERE lease_until >= ${dialect.clock}`,
  );
  return {
    now,
    count: Number(row!.n),
    orphans: await spark.registered.gone(manager),
    paused: await spark.handlerPauses.since(manager),
  };
}

function when(instant: Date, now: number): string {
  return instant.getTime() <= now ? 'now' : `at ${instant.toISOString()}`;
}
