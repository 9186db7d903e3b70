import type { EntityManager } from 'typeorm';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import type { Transactions } from '../database/transactions.js';

/** Whose held deliveries are meant; what is left out does not matter. */
export interface HeldFilter {
  readonly group?: string;
  readonly source?: string;
}

const ROWS = 1_000;
/** Why held deliveries were given up that somebody was asked about. */
export const DISCARDED_HELD = 'discarded while held';

/** Deliveries that wait for somebody to say whether they are wanted. Nobody claims them. */
export class HeldDeliveries {
  constructor(
    private readonly transactions: Transactions,
    private readonly tables: TableNames,
    private readonly onReleased: () => void,
    /** All names that a source has had. */
    private readonly namesOf: (source: string) => readonly string[],
  ) {}

  /** How many there are, by group. */
  async count(manager: EntityManager, filter: HeldFilter = {}): Promise<Map<string, number>> {
    const rows = await select<{ event_group: string; n: string }>(
      manager,
      `SELECT e.event_group, COUNT(*) AS n ${this.chosen(filter)} GROUP BY e.event_group ORDER BY e.event_group`,
      this.parametersOf(filter),
    );
    return new Map(rows.map(({ event_group: group, n }) => [group, Number(n)]));
  }

  /** Makes them available, in batches. Returns how many. */
  async release(filter: HeldFilter, now: number): Promise<number> {
    const released = await this.inBatches(filter, `state = 'available', due_at = :now, priority = priority + 1`, {
      now,
    });
    if (released > 0) this.onReleased();
    return released;
  }

  /** Gives them up, in batches. Returns how many. */
  discard(filter: HeldFilter, now: number, reason: string): Promise<number> {
    return this.inBatches(filter, `state = 'discarded', finished_at = :now, last_error = :reason`, { now, reason });
  }

  private async inBatches(filter: HeldFilter, changes: string, values: object): Promise<number> {
    let total = 0;
    for (;;) {
      const { found, changed } = await this.batch(filter, changes, values);
      total += changed;
      if (found < ROWS) return total;
    }
  }

  private batch(filter: HeldFilter, changes: string, values: object): Promise<{ found: number; changed: number }> {
    const update = `UPDATE ${this.tables.delivery} SET ${changes} WHERE id IN (:...ids) AND state = 'held'`;
    return this.transactions.run(async (manager) => {
      const rows = await select<{ id: string }>(
        manager,
        `SELECT d.id ${this.chosen(filter)} LIMIT ${ROWS}`,
        this.parametersOf(filter),
      );
      const ids = rows.map(({ id }) => id);
      const { affected } = ids.length === 0 ? {} : await execute(manager, update, { ...values, ids });
      return { found: ids.length, changed: affected ?? 0 };
    });
  }

  private parametersOf({ group, source }: HeldFilter): object {
    return { group, sources: source === undefined ? [] : this.namesOf(source) };
  }

  private chosen({ group, source }: HeldFilter): string {
    const ofGroup = group === undefined ? '' : ' AND e.event_group = :group';
    const ofSource = source === undefined ? '' : ' AND e.source IN (:...sources)';
    const { delivery, event } = this.tables;
    return `FROM ${delivery} d JOIN ${event} e ON e.id = d.event_id WHERE d.state = 'held'${ofGroup}${ofSource}`;
  }
}
