import type { EntityManager } from 'typeorm';
import { backoffDelay } from '../config/backoff.js';
import { SET, UNCHARGED } from '../database/delivery-columns.js';
import type { Dialect } from '../database/dialect.js';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import type { Transactions } from '../database/transactions.js';

// How many rows one statement frees, because a statement can have only so many parameters.
const ROWS = 1_000;

/**
 * Frees the deliveries that dead processes had claimed. Each becomes a suspect, because it may have killed its process. The lost
 * attempt does not count, and the delivery is claimed again alone. If a process dies while it handles a suspect, the attempt counts,
 * and the delivery waits, longer each time.
 */
export class Rescue {
  constructor(
    private readonly transactions: Transactions,
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
  ) {}

  /** Frees the deliveries of all leases that have expired. It reads deliveries only if there is such a lease. Returns how many it freed. */
  async ofExpired(): Promise<number> {
    const { worker } = this.tables;
    const expired = `SELECT id FROM ${worker} WHERE lease_until < ${this.dialect.clock} ORDER BY id`;
    let freed = 0;
    for (const { id } of await select<{ id: string }>(this.transactions.manager, expired)) freed += await this.of(id);
    return freed;
  }

  /**
   * Frees the deliveries of one lease that has expired, and removes its row when none is left. A delivery that another transaction has
   * locked stays, and so does the row: a later rescue frees it. Returns how many it freed.
   */
  of(lease: string): Promise<number> {
    return this.inBatches((manager) => this.freeOf(manager, lease));
  }

  /**
   * Frees running deliveries whose lease has no row. They are rare: a process of the release before removes the row first, and a process
   * that stalled may claim under a lease that is gone. It reads all running deliveries. Returns how many it freed.
   */
  ofUnknown(): Promise<number> {
    const { worker } = this.tables;
    const isUnknown = `NOT EXISTS (SELECT 1 FROM ${worker} w WHERE w.id = d.claimed_by)`;
    return this.inBatches((manager) => this.free(manager, isUnknown, {}));
  }

  private async inBatches(batch: (manager: EntityManager) => Promise<number>): Promise<number> {
    let freed = 0;
    for (let last = ROWS; last === ROWS; freed += last) last = await this.transactions.run(batch);
    return freed;
  }

  private async freeOf(manager: EntityManager, lease: string): Promise<number> {
    const { worker, delivery } = this.tables;
    const expired = `SELECT id FROM ${worker} WHERE id = :lease AND lease_until < ${this.dialect.clock} ${this.lock}`;
    // Another process may rescue them at the same time.
    if ((await select(manager, expired, { lease })).length === 0) return 0;
    const freed = await this.free(manager, 'd.claimed_by = :lease', { lease });
    const left = `SELECT id FROM ${delivery} WHERE state = 'running' AND claimed_by = :lease LIMIT 1`;
    if ((await select(manager, left, { lease })).length === 0)
      await execute(manager, `DELETE FROM ${worker} WHERE id = :lease`, { lease });
    return freed;
  }

  /** Frees up to ROWS deliveries. Returns how many. It skips locked rows, because another process works on them. */
  private async free(manager: EntityManager, condition: string, parameters: object): Promise<number> {
    const { delivery } = this.tables;
    const left = await select<{ id: string; suspect: number; attempt: number }>(
      manager,
      `SELECT d.id, d.suspect, d.attempt FROM ${delivery} d WHERE d.state = 'running' AND ${condition} LIMIT ${ROWS} ${this.lock}`,
      parameters,
    );
    const freed = `UPDATE ${delivery} SET ${SET.freed}`;
    const beside = left.filter(({ suspect }) => Number(suspect) === 0).map(({ id }) => id);
    if (beside.length > 0)
      await execute(manager, `${freed}, ${UNCHARGED}, suspect = 1 WHERE id IN (:...ids)`, { ids: beside });
    for (const { id, suspect, attempt } of left)
      if (Number(suspect) === 1) {
        const pause = backoffDelay(Number(attempt));
        await execute(manager, `${freed}, due_at = started_at + :pause WHERE id = :id`, { id, pause });
      }
    return left.length;
  }

  private get lock(): string {
    return this.dialect.skipsLocked ? 'FOR UPDATE SKIP LOCKED' : '';
  }
}
