import { type EntityManager, type EntityMetadata, FindOperator } from 'typeorm';
import type { SparkClock } from '../common/clock.js';
import type { Dialect } from '../database/dialect.js';
import { ALIAS, narrowed } from '../entity/subjects.js';
import type { Derivation } from '../record/derivation.js';
import type { TimeReads } from '../source/clock-reads.js';
import { hashOf } from '../source/source-code.js';
import type { Source } from '../source/source.js';
import type { Activation } from '../store/activation.js';
import type { SweepPast, SweepPlan } from '../store/sweep-ticket.js';
import type { ChangedSince } from './pages.js';

/**
 * Decides whether a sweep reads all rows, or only those that have changed since the last one. A row that has not changed gives the same
 * events as before if its source reads nothing else, and if its code is the same. Then all its events are known, as long as no key
 * was removed from the ledger. If anything of this is not certain, the sweep reads all rows.
 */
export class ChangedRows {
  constructor(
    private readonly dialect: Dialect,
    private readonly activation: Activation,
    private readonly clock: SparkClock,
    /** The version that the application gives. */
    private readonly version: string | undefined,
    /** After how long a sweep reads all rows again, in milliseconds. */
    private readonly full: number,
  ) {}

  /** Whether sweeps of a source may ever read only the rows that have changed. */
  mayApply(source: Source): boolean {
    return this.obstacleOf(source) === undefined;
  }

  /** Plans a sweep, in the transaction that begins it. */
  async plan(manager: EntityManager, source: Source, past: SweepPast): Promise<SweepPlan> {
    const obstacle = this.obstacleOf(source);
    if (obstacle !== undefined) return all(obstacle);
    const table = await this.dialect.rowVersions!.look(manager, source.metadata, past.boundary);
    if (table.boundary === undefined) return all(table.obstacle!);
    const hindrance = this.hindranceAt(past) ?? table.outdated ?? (await this.newGroup(manager, source));
    if (hindrance !== undefined) return all(hindrance, table.boundary);
    return { changedSince: past.boundary, boundary: table.boundary, why: UNCHANGED };
  }

  /** The condition of the rows that have changed since a boundary. */
  readonly changedSince: ChangedSince = (manager, boundary) => {
    const { driver } = manager.dataSource;
    const column = (name: string) => `${driver.escape(ALIAS)}.${driver.escape(name)}`;
    return this.dialect.rowVersions!.changedSince(column, boundary);
  };

  private hindranceAt({ boundary, hindrance, fullAt, isSameVersion }: SweepPast): string | undefined {
    if (!isSameVersion) return 'it is the first sweep of this version of the source';
    if (hindrance !== undefined) return hindrance;
    if (boundary === undefined || fullAt === undefined) return 'no sweep before has read all rows';
    const age = this.clock.now() - fullAt;
    return age >= 0 && age < this.full ? undefined : 'the last sweep that has read all rows was too long ago';
  }

  private async newGroup(manager: EntityManager, { name }: Source): Promise<string | undefined> {
    const groups = await this.activation.groupsOf(name, manager);
    return [...groups.values()].includes(false) ? 'a group has not been through its first sweep' : undefined;
  }

  private obstacleOf(source: Source): string | undefined {
    const { metadata, options, ownRow } = source;
    if (!this.dialect.rowVersions) return 'the database does not tell which rows have changed';
    if (this.version === undefined) return 'the option version of SparkModule is not set';
    if (options.trueFor) return 'the source yields events with trueFor';
    if (!ownRow) return 'the source reads more than the row of its entity, or it waits';
    if (metadata.tableType !== 'regular' && metadata.tableType !== 'entity-child') return 'it is not a plain table';
    if ([metadata, ...metadata.childEntityMetadatas].some(readsOtherTables))
      return 'the entity has columns that are read from other tables';
    if (
      hasRaw(options.where) ||
      narrowed(metadata.dataSource.manager, source, true).expressionMap.joinAttributes.length > 0
    )
      return 'the where of the source may read more than the row of its entity';
    return undefined;
  }
}

/**
 * Why the next sweep must read all rows, after a source was run for some of them: what it yielded may be different the next time, though
 * the rows have not changed.
 */
export function hindranceOf(
  source: Source,
  { failures, refused, future }: Derivation,
  reads: TimeReads | undefined,
): string | undefined {
  if (!reads) return 'nobody has watched what the source reads';
  if (reads.now) return 'the source has asked for scope.now';
  if (reads.clock) return 'the source has read the clock of the process';
  if (reads.waits) return 'the source waits';
  if (failures.length > 0) return 'the source has failed for an entity';
  if (refused.length > 0) return 'an event was refused';
  // Live sources have a recheck at that time.
  if (future.length > 0 && !source.live)
    return 'an event with a later `at` has no recheck, because the source is not live';
  return undefined;
}

/**
 * The version of a source: whether two processes may sweep together, and whether a row that has not changed yields what it yielded in the
 * last sweep. The text of a function does not show what it calls, so the version of the application belongs to it.
 */
export function fingerprintOf({ metadata, options, live, code }: Source, version: string | undefined): string {
  const columns = metadata.columns.map((column) => [
    column.propertyPath,
    column.databaseName,
    column.type,
    column.isSelect,
  ]);
  return hashOf([version, live, code, columns, options]);
}

const UNCHANGED = 'nothing but changed rows can have new events';

const all = (why: string, boundary?: string): SweepPlan => ({ changedSince: undefined, boundary, why });

const readsOtherTables = ({ relationIds, columns }: EntityMetadata): boolean =>
  relationIds.length > 0 || columns.some(({ isVirtualProperty }) => isVirtualProperty);

/** Whether a condition has SQL of its own, which may read other tables or the clock. */
function hasRaw(where: unknown): boolean {
  if (where instanceof FindOperator) {
    const { type, child } = where as FindOperator<unknown>;
    return type === 'raw' || hasRaw(child) || hasRaw((where as FindOperator<unknown>).value);
  }
  if (typeof where !== 'object' || where === null || where instanceof Date || Buffer.isBuffer(where)) return false;
  return Object.values(where).some(hasRaw);
}
