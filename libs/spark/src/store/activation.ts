import { SparkLog } from '../common/spark-log.js';
import { shown } from '../error/text-of.js';
import type { DataSource, EntityManager } from 'typeorm';
import type { HeldDeliveries } from './held-deliveries.js';
import type { Dialect } from '../database/dialect.js';
import { chunks, execute, select, values } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';

const ROWS = 500;

/** Stores groups of a source that no sweep has been through, unless they are stored already. */
export async function addGroups(
  manager: EntityManager,
  { dialect, tables }: { readonly dialect: Dialect; readonly tables: TableNames },
  source: string,
  groups: readonly string[],
): Promise<void> {
  for (const part of chunks(groups, ROWS)) {
    const rows = values(part.map((name) => [source, name]));
    const insert = dialect.insertOrIgnore(`INTO ${tables.group} (source, name) VALUES ${rows.sql}`);
    await execute(manager, insert, rows.parameters);
  }
}

/**
 * Prevents that old data of a table causes a flood of deliveries. In the first sweep in which a source yields a group, the deliveries
 * of that group are opened as held. At the end of the sweep they are released if they are few. Each source has its own first sweep for a
 * group. All events that a sweep yields count, also those whose keys are known: a group that live capture has entered is active after
 * the next sweep.
 */
export class Activation {
  private readonly logger = new SparkLog();

  constructor(
    private readonly dataSource: DataSource,
    readonly dialect: Dialect,
    readonly tables: TableNames,
    private readonly held: HeldDeliveries,
    /** Up to how many deliveries of a group are released without a call. */
    private readonly limit: number,
  ) {}

  /** The groups that sweeps of a source have yielded, and whether one of these sweeps has been completed. */
  async groupsOf(source: string, manager = this.dataSource.manager): Promise<Map<string, boolean>> {
    const rows = await select<{ name: string; swept_at: string | null }>(
      manager,
      `SELECT name, swept_at FROM ${this.tables.group} WHERE source = :source`,
      { source },
    );
    return new Map(rows.map((row) => [row.name, row.swept_at !== null]));
  }

  /** Stores groups that a sweep yields for the first time, in the transaction of its page. */
  met(manager: EntityManager, source: string, groups: readonly string[]): Promise<void> {
    return addGroups(manager, this, source, groups);
  }

  /**
   * Decides on held deliveries at the end of a sweep: it releases those of a group if they are few, or logs that they stay held. Returns
   * how many stay held.
   *
   * @param since from when on the deliveries were opened, in epoch milliseconds; default: all
   */
  async settle(source: string, groups: readonly string[], now: number, since?: number): Promise<number> {
    if (groups.length === 0) return 0;
    let staying = 0;
    const counts = await this.held.count(this.dataSource.manager, { source, since });
    for (const group of groups) {
      const count = counts.get(group) ?? 0;
      if (count > this.limit) {
        staying += count;
        this.warn(source, group, count);
      } else if (count > 0) await this.held.release({ group, source, since }, now);
    }
    return staying;
  }

  /** Stores that groups have been swept, in the transaction that ends the sweep. */
  async activate(manager: EntityManager, source: string, groups: readonly string[], now: number): Promise<void> {
    for (const names of chunks(groups, ROWS)) {
      const update = `UPDATE ${this.tables.group} SET swept_at = :now WHERE source = :source AND name IN (:...names)`;
      await execute(manager, update, { source, names, now });
    }
  }

  private warn(source: string, group: string, count: number): void {
    const name = shown(JSON.stringify(group));
    this.logger.warn(
      `${count} deliveries of the group ${name} are held: the first sweep of ${shown(source)} has found them, and more than ` +
        `activation.limit (${this.limit}) may be old data that needs no delivery. ` +
        `SparkService.release(${name}) delivers them, SparkService.discard(${name}) gives them up.`,
      { source, group, deliveries: count },
    );
  }
}
