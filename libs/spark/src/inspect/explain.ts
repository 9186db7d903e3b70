import type { EntityManager, EntityMetadata } from 'typeorm';
import { deliveryColumns, type DeliveryRow } from '../database/delivery-columns.js';
import type { TableNames } from '../database/table-names.js';
import { select } from '../database/statement.js';
import { textOf } from '../error/text-of.js';
import { messageOf } from '../error/wording.js';
import { checkContext } from '../event/context-schema.js';
import { eventSince, type Lasting, lasts } from '../event/lasting.js';
import { eventsAt, repeats, standsFor } from '../event/repetitions.js';
import type { SparkEvent } from '../event/spark-event.js';
import { judge, judgeLasting, nameOf } from '../record/derivation.js';
import { eventsOf, type Source } from '../source/source.js';
import type { ExplainedDelivery, ExplainedEvent, ExplainedSource, Explanation, YieldedEvent } from './explanation.js';
import { deliveryOf } from './delivery-of.js';
import type { Inspected } from './inspected.js';
import { namesOf, rootOf } from '../entity/entity-table.js';
import { readEntities, readSubjects, type Subject } from '../entity/subjects.js';
import { wordsOf } from './words.js';

/** Explains one entity by its key. */
export async function explain(spark: Inspected, metadata: EntityMetadata, id: string): Promise<Explanation> {
  const now = spark.clock.now();
  const asked: Asked[] = [];
  for (const source of spark.sources.of(metadata)) asked.push(await ask(spark, source, id, now));
  const sources = asked.map(({ explained }) => explained);
  return spark.transactions.readOnly(async (manager) => {
    const root = rootOf(metadata);
    const exists = (await readEntities(manager, { metadata, withDeleted: true }, [id])).size > 0;
    const keys = sources.flatMap(({ events }) => events.map(({ key }) => key));
    const events = await ledgerOf(manager, spark, root, id, keys);
    const rechecks = await rechecksAt(manager, spark, root, id);
    const facts = { entity: metadata.name, id, exists, sources, events, rechecks };
    // Other events are among those of the sources.
    const repeating = asked.flatMap(({ yielded }) => yielded.filter(repeats));
    const holds = (event: ExplainedEvent) => repeating.some((one) => standsFor(one, atOf(event), now));
    return { ...facts, words: await wordsOf(manager, spark, facts, holds, now) };
  });
}

/** The answer of a source, and the events that it yielded. */
interface Asked {
  readonly explained: ExplainedSource;
  readonly yielded: readonly SparkEvent[];
}

const atOf = ({ key, at }: ExplainedEvent) => ({ key, at: at?.getTime() ?? null });

// The source runs after the read-only transaction has ended, so it locks nothing and holds no connection.
async function ask(spark: Inspected, source: Source, id: string, now: number): Promise<Asked> {
  const { name, live } = source;
  const about = { source: name, live, isAbout: true, events: [], error: undefined };
  try {
    const { subject, sinceOf } = await spark.transactions.readOnly((manager) => read(manager, spark, source, id));
    if (!subject) return { explained: { ...about, isAbout: false }, yielded: [] };
    const given = source.options.batch ? [subject.entity] : subject.entity;
    const yielded = await eventsOf(source, given, { now: new Date(now) });
    const events = yielded
      .flatMap((event) => instantsOf(event, now))
      .map((event) =>
        lasts(event) ? lastingOf(spark, event, source, subject, sinceOf, now) : yieldedOf(spark, event, now),
      );
    return { explained: { ...about, events }, yielded };
  } catch (error) {
    return { explained: { ...about, error: textOf(error) }, yielded: [] };
  }
}

/** The events for which an event stands, or itself if it repeats and has none before its end. */
function instantsOf(event: SparkEvent, now: number): readonly SparkEvent[] {
  const instants = eventsAt(event, now);
  return instants.length > 0 ? instants : [event];
}

function yieldedOf(spark: Inspected, event: SparkEvent, now: number): YieldedEvent {
  const { group = '', key = '' } = nameOf(event);
  const name = { group: String(group), key: String(key) };
  const since = undefined;
  const { verdict, reason } = judged(spark, event, judge(event, now));
  if (repeats(event) && (verdict === 'true' || verdict === 'over')) {
    const end = event.until!.toISOString();
    const ended =
      verdict === 'over' ? `it has ended: its until, ${end}, is past.` : `it has no instant before its until, ${end}.`;
    return { ...name, verdict: 'over', at: undefined, since, reason: ended };
  }
  return { ...name, verdict, at: verdict === 'refused' ? undefined : event.at, since, reason };
}

type Judgement = ReturnType<typeof judge>;

/** Reads an entity of a source, and since when the source has yielded its events with `trueFor`, by key. */
async function read(manager: EntityManager, { conditions }: Inspected, source: Source, id: string) {
  const lasting = await conditions.of(manager, source, [id]);
  const [subject] = await readSubjects(manager, source, [id]);
  return { subject, sinceOf: new Map(lasting.map(({ key, since }) => [key, since])) };
}

/** The event that a yielded event with `trueFor` stands for, if it can be entered, and the verdict on it. */
function lastingAt(
  event: Lasting,
  source: Source,
  subject: Subject,
  since: number | undefined,
  now: number,
): Judgement & { readonly event: SparkEvent } {
  const judgement = judgeLasting(event, source, subject, now);
  if (judgement.verdict !== 'true') return { ...judgement, event };
  if (since === undefined) return { verdict: 'later', event };
  const held = eventSince(event, since);
  return held ? { ...judge(held, now), event: held } : { verdict: 'over', event };
}

function lastingOf(
  spark: Inspected,
  yielded: Lasting,
  source: Source,
  subject: Subject,
  sinceOf: ReadonlyMap<string, number | undefined>,
  now: number,
): YieldedEvent {
  const { group = '', key = '' } = nameOf(yielded);
  const since = sinceOf.get(String(key));
  const { event, ...judgement } = lastingAt(yielded, source, subject, since, now);
  const { verdict, reason } = judged(spark, event, judgement);
  const at = verdict === 'refused' ? undefined : event.at;
  const begun = since === undefined ? undefined : new Date(since);
  return { group: String(group), key: String(key), verdict, at, since: begun, reason };
}

/** Checks and encodes the context of an event that would be entered. Its error refuses the event, too. */
function judged({ codec }: Inspected, event: SparkEvent, judgement: Judgement): Judgement {
  if (judgement.verdict !== 'true' && judgement.verdict !== 'later') return judgement;
  try {
    checkContext(event);
    codec.encode(event.context);
    return judgement;
  } catch (error) {
    return { verdict: 'refused', reason: messageOf(error) };
  }
}

interface EventRow {
  id: string;
  event_key: string;
  event_group: string;
  at: string | null;
  source: string | null;
  entity: string | null;
  entity_id: string | null;
  recorded_at: string;
}

const MOST_EVENTS = 1_000;

/** The events of the entity in the ledger, and those with a key that its sources yield: an event of a batch may name no entity. */
async function ledgerOf(
  manager: EntityManager,
  { tables, entities }: Inspected,
  root: EntityMetadata,
  id: string,
  keys: string[],
) {
  const columns = 'id, event_key, event_group, at, source, entity, entity_id, recorded_at';
  const rows = await select<EventRow>(
    manager,
    `SELECT ${columns} FROM ${tables.event} WHERE entity IN (:...names) AND entity_id = :id ORDER BY id DESC LIMIT ${MOST_EVENTS}`,
    { names: namesOf(root), id },
  );
  const found = new Set(rows.map((row) => row.event_key));
  // A refused key may have characters that the database refuses, too, so such keys are not queried.
  const others = keys.filter((key) => !found.has(key) && key.isWellFormed() && !key.includes('\0'));
  if (others.length > 0)
    rows.push(
      ...(await select<EventRow>(
        manager,
        `SELECT ${columns} FROM ${tables.event} WHERE event_key IN (:...others) ORDER BY id DESC`,
        { others },
      )),
    );
  const deliveries = await deliveriesOf(manager, tables, rows);
  const classIn = (entity: string | null) => entities.rootNamed(entity ?? '')?.name ?? entity;
  return rows.toReversed().map((row) => ({
    key: row.event_key,
    group: row.event_group,
    source: row.source ?? undefined,
    of: row.entity_id === null || found.has(row.event_key) ? undefined : `${classIn(row.entity)} ${row.entity_id}`,
    at: row.at === null ? undefined : new Date(Number(row.at)),
    recorded: new Date(Number(row.recorded_at)),
    deliveries: deliveries.get(String(row.id)) ?? [],
  }));
}

async function deliveriesOf(
  manager: EntityManager,
  { delivery: table, gathered }: TableNames,
  events: readonly EventRow[],
) {
  const byEvent = new Map<string, ExplainedDelivery[]>();
  if (events.length === 0) return byEvent;
  const rows = await select<DeliveryRow & { batch_key: string | null }>(
    manager,
    `SELECT ${deliveryColumns('d')}, g.batch_key FROM ${table} d LEFT JOIN ${gathered} g ON g.delivery_id = d.id
     WHERE d.event_id IN (:...ids) ORDER BY d.id`,
    { ids: events.map((event) => event.id) },
  );
  for (const row of rows) {
    const { handler, state, attempt, due, finished, durationMs, error, worker } = deliveryOf(row);
    const digest = row.batch_key === null ? {} : { digest: row.batch_key };
    const dispatched = state === 'available' && worker !== undefined ? { dispatched: true } : {};
    const delivery = { handler, state, attempt, due, finished, durationMs, error, ...digest, ...dispatched };
    byEvent.set(row.event_id, [...(byEvent.get(row.event_id) ?? []), delivery]);
  }
  return byEvent;
}

async function rechecksAt(manager: EntityManager, { tables }: Inspected, root: EntityMetadata, id: string) {
  const rows = await select<{ due_at: string; attempt: number }>(
    manager,
    `SELECT due_at, MAX(attempt) AS attempt FROM ${tables.recheck} WHERE entity IN (:...names) AND entity_id = :id
     GROUP BY due_at ORDER BY due_at`,
    { names: namesOf(root), id },
  );
  return rows.map((row) => ({ due: new Date(Number(row.due_at)), attempt: Number(row.attempt) }));
}
