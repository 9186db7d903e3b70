import type { EntityManager } from 'typeorm';
import { BEHIND, SET } from '../database/delivery-columns.js';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import type { Transactions } from '../database/transactions.js';
import { BulkRun } from './bulk-run.js';
import { Conditions } from './record-filter.js';

/** Selects held deliveries. A field that is left out selects all. */
export interface HeldFilter {
  readonly group?: string;
  readonly source?: string;
  /** Those that were opened at this instant or later, in epoch milliseconds. */
  readonly since?: number | undefined;
}

/** Held deliveries. They wait for a call of `release` or `discard`, and no process claims them. */
export class HeldDeliveries {
  constructor(
    private readonly transactions: Transactions,
    private readonly tables: TableNames,
    private readonly onReleased: () => void,
    /** All names that a source has had. */
    private readonly namesOf: (source: string) => readonly string[],
  ) {}

  /** Counts them by group. */
  async count(manager: EntityManager, filter: HeldFilter = {}): Promise<Map<string, number>> {
    const { sql, parameters } = this.chosen(filter);
    const rows = await select<{ event_group: string; n: string }>(
      manager,
      `SELECT e.event_group, COUNT(*) AS n FROM ${this.from} ${sql} GROUP BY e.event_group ORDER BY e.event_group`,
      parameters,
    );
    return new Map(rows.map(({ event_group: group, n }) => [group, Number(n)]));
  }

  /** Makes them available, in chunks. Returns how many. */
  release(filter: HeldFilter, now: number): Promise<number> {
    return this.change(filter, `${SET.released}, ${BEHIND}`, { now }, this.onReleased);
  }

  /** Gives them up, in chunks. Returns how many. */
  discard(filter: HeldFilter, now: number, reason: string): Promise<number> {
    return this.change(filter, SET.discarded, { now, error: reason });
  }

  private async change(filter: HeldFilter, changes: string, values: object, onChanged?: () => void): Promise<number> {
    const run = new BulkRun(this.transactions, {}, onChanged);
    const update = `UPDATE ${this.tables.delivery} SET ${changes} WHERE id IN (:...ids) AND state = 'held'`;
    await run.over(
      { from: this.from, id: 'd.id', where: this.chosen(filter) },
      { change: async (manager, ids) => (await execute(manager, update, { ...values, ids })).affected ?? 0 },
    );
    return run.done;
  }

  private get from(): string {
    return `${this.tables.delivery} d JOIN ${this.tables.event} e ON e.id = d.event_id`;
  }

  private chosen({ group, source, since }: HeldFilter): Conditions {
    return new Conditions()
      .add(true, `d.state = 'held'`, {})
      .add(group, 'e.event_group = :group', { group })
      .add(since, 'd.due_at >= :since', { since })
      .add(source, 'e.source IN (:...sources)', { sources: source === undefined ? [] : this.namesOf(source) });
  }
}
