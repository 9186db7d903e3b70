import type { EntityManager } from 'typeorm';
import type { SparkClock } from '../common/clock.js';
import type { InitialState } from '../database/delivery-states.js';
import type { Entry } from '../database/event-columns.js';
import { select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import { rootOf, tableOf } from '../entity/entity-table.js';
import { pageOfKeys } from '../entity/subjects.js';
import type { Source } from '../source/source.js';
import { sourceNames, type SourceRegistry } from '../source/source.registry.js';
import type { SweepRows } from './sweep-rows.js';

interface Row {
  readonly source: string;
  /** The code that was swept completely. */
  readonly code: string | null;
  /** The code that processes have, and when the first of them had it. */
  readonly seen_code: string | null;
  readonly seen_at: string | null;
  readonly swept_at: string | null;
}

const NO_ROW: Omit<Row, 'source'> = { code: null, seen_code: null, seen_at: null, swept_at: null };

/** How many events of an entity are read to find out whether the release before has recorded events of a source. */
const SAMPLE = 1_000;

/**
 * Which sources Spark has adopted: a sweep has read all entities of a source with its present code, so all that was true before is in
 * the ledger. Until then, an event may have been true before Spark saw the source. Nobody is told of such an event, unless the source
 * wants that.
 */
export class Adoption {
  private readonly adopted = new Set<Source>();
  /** Since when processes have the present code of sources, and when the last sweep of their rows began, in epoch milliseconds. */
  private readonly seen = new Map<Source, { readonly at: number; readonly sweptAt: number | undefined }>();
  /** Sources that have no row, because this process registers none. Their former names may have one. */
  private readonly unregistered = new Set<Source>();

  constructor(
    private readonly tables: TableNames,
    private readonly sources: SourceRegistry,
    private readonly rows: SweepRows,
    private readonly clock: SparkClock,
  ) {}

  /** Whether Spark has adopted a source. */
  has(source: Source): boolean {
    return this.adopted.has(source);
  }

  /** Whether an event that a change of a row seems to make true may have been true before, and handlers do not get such events. */
  isOpen(source: Source): boolean {
    return !this.has(source) && source.history !== 'deliver';
  }

  /** When a process has seen the present code of a source first, in epoch milliseconds. */
  seenAt(source: Source): number {
    return this.seen.get(source)?.at ?? this.clock.now();
  }

  /** The last instant for which what a source yields is past, in epoch milliseconds: that of the last sweep, or when it was seen first. */
  pastUntil(source: Source): number {
    return this.seen.get(source)?.sweptAt ?? this.seenAt(source);
  }

  /** Whether no sweep has read the rows of a source yet. */
  private isFirst(source: Source): boolean {
    const seen = this.seen.get(source);
    return seen !== undefined && seen.sweptAt === undefined;
  }

  /**
   * How the deliveries of an event are opened that the first sweep of its group finds. An event with a date after Spark has seen the
   * source is not past: time has made it true. If the source is adopted, then other code has written the row since, or time has passed.
   */
  stateOf(source: Source, { at }: Pick<Entry, 'at'>, isAdopted = this.has(source)): InitialState {
    if (source.history === 'deliver') return 'available';
    if (isAdopted) return 'held';
    if (at !== null && at > this.seenAt(source)) return 'available';
    // A changed source may yield a new group for rows that other code has changed since the last sweep.
    return source.history === 'silent' && this.isFirst(source) ? 'discarded' : 'held';
  }

  /** Whether a condition has held since before Spark saw its source, given how the deliveries of its event would be opened. */
  isPast({ source }: Pick<Entry, 'source'>, state: InitialState): boolean {
    const of = this.sources.named(source ?? '');
    return state === 'discarded' || (state === 'held' && of !== undefined && !this.has(of));
  }

  /** How the deliveries of an event with `trueFor` are opened that lasts since before Spark saw its source. */
  stateOfLasting({ source }: Pick<Entry, 'source'>): InitialState {
    return this.sources.named(source ?? '')?.history === 'held' ? 'held' : 'discarded';
  }

  /**
   * Called at the boot. A source whose table is empty is adopted: nothing was true before. So is a source that the release before has
   * swept, or has recorded events of: it did not store the code.
   */
  async begin(manager: EntityManager): Promise<void> {
    const rows = await this.read(manager);
    for (const source of this.sources.all()) {
      const { name, code } = source;
      const row = rows.get(name);
      if (row?.seen_code === code) continue;
      const isOfPreviousRelease = !row?.seen_code && (row?.swept_at != null || (await this.hasEvents(manager, source)));
      const isAdopted = isOfPreviousRelease || (await isEmpty(manager, source));
      await this.rows.add(manager, name);
      const changes = `seen_code = :code, seen_at = :now${isAdopted ? ', code = :code' : ''}`;
      await this.rows.change(manager, name, changes, { code, now: this.clock.now() });
    }
    await this.reload(manager);
  }

  /** Stores that a whole sweep of a source has ended. */
  async adopt(manager: EntityManager, source: Source): Promise<void> {
    await this.rows.change(manager, source.name, 'code = :code', { code: source.code });
  }

  /** Called at the boot of an application that registers no sources: reads what `begin` would store, and stores nothing. */
  async look(manager: EntityManager): Promise<void> {
    const rows = await this.read(manager);
    const now = String(this.clock.now());
    for (const source of this.sources.all()) {
      const { name, code } = source;
      const row = sourceNames(source)
        .map((one) => rows.get(one))
        .find((found) => found !== undefined);
      if (!rows.has(name)) this.unregistered.add(source);
      const isSeen = row?.seen_code === code;
      this.know(source, { ...NO_ROW, ...row, ...(isSeen ? {} : { seen_code: code, seen_at: now }) });
    }
  }

  /** The names under which Spark has stored what sweeps have found for a source. */
  namesOf(source: Source): string[] {
    return this.unregistered.has(source) ? sourceNames(source) : [source.name];
  }

  /** Reads which sources any process has adopted. */
  async reload(manager: EntityManager): Promise<void> {
    const rows = await this.read(manager);
    for (const source of this.sources.all()) this.know(source, rows.get(source.name));
  }

  private know(source: Source, row: Omit<Row, 'source'> | undefined): void {
    const { code } = source;
    if (row?.code === code) this.adopted.add(source);
    const sweptAt = row?.swept_at == null ? undefined : Number(row.swept_at);
    if (row?.seen_code === code) this.seen.set(source, { at: Number(row.seen_at), sweptAt });
  }

  private async read(manager: EntityManager): Promise<Map<string, Row>> {
    const sql = `SELECT source, code, seen_code, seen_at, swept_at FROM ${this.tables.sweep}`;
    const rows = await select<Row>(manager, sql);
    return new Map(rows.map((row) => [row.source, row]));
  }

  private async hasEvents(manager: EntityManager, source: Source): Promise<boolean> {
    const first = `SELECT source FROM ${this.tables.event} WHERE entity = :entity ORDER BY entity_id LIMIT ${SAMPLE}`;
    const sql = `SELECT source FROM (${first}) f WHERE source IN (:...names) LIMIT 1`;
    const entity = tableOf(rootOf(source.metadata));
    return (await select(manager, sql, { entity, names: sourceNames(source) })).length > 0;
  }
}

/** Whether the table of a source has no rows. A table that cannot be read counts as one with rows. */
async function isEmpty(manager: EntityManager, { metadata }: Source): Promise<boolean> {
  const table = { metadata: rootOf(metadata), options: { withDeleted: true } };
  const first = pageOfKeys(manager, table, { after: undefined, limit: 1 });
  return first.then(({ length }) => length === 0).catch(() => false);
}
