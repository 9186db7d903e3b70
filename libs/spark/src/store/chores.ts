import { randomUUID } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import type { Dialect } from '../database/dialect.js';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import type { Transactions } from '../database/transactions.js';

/**
 * A chore of each minute is not done again for so long, in milliseconds. It is a little less than the shortest time between two ticks of a
 * process.
 */
export const CHORE_EVERY = 40_000;

/** Extends the lease of a chore in a transaction of its work, as its last statement. Throws LostChore if another process has taken it. */
export type ConfirmChore = (manager: EntityManager) => Promise<void>;

/** Another process has taken the chore over. The transaction of the work is rolled back. */
class LostChore extends Error {}

/**
 * Chores: work that one process of all does from time to time. A chore has a lease, by the database's clock. If its process dies,
 * another process does the chore when the lease is over.
 */
export class Chores {
  private readonly id = randomUUID() as string;

  constructor(
    private readonly transactions: Transactions,
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
    /** How long the lease lasts without an extension, in milliseconds. */
    private readonly ttl: number,
  ) {}

  /**
   * Does a chore, unless it was done in the last `every` milliseconds or another process does it at present. If the work fails, or its
   * process dies, the chore counts as not done. Returns whether it was done.
   */
  async run(name: string, every: number, work: (confirm: ConfirmChore) => Promise<void>): Promise<boolean> {
    if (!(await this.take(name, every))) return false;
    const extend = (manager: EntityManager) => this.update(manager, name, this.extended);
    // A single step of the work may take longer than the lease. If this fails, the end of the step finds out.
    const timer = setInterval(() => void extend(this.transactions.manager).catch(() => undefined), this.ttl / 3);
    timer.unref();
    try {
      await work(async (manager) => {
        if (!(await extend(manager))) throw new LostChore();
      });
      return await this.update(this.transactions.manager, name, `done_at = ${this.dialect.clock}, holder = NULL`);
    } catch (error) {
      if (error instanceof LostChore) return false;
      await this.update(this.transactions.manager, name, 'holder = NULL').catch(() => undefined);
      throw error;
    } finally {
      clearInterval(timer);
    }
  }

  // Most processes find that a chore is not due. They only read.
  private async take(name: string, every: number): Promise<boolean> {
    const { chore } = this.tables;
    const { clock } = this.dialect;
    const due = `(done_at IS NULL OR done_at <= ${clock} - :every) AND (holder IS NULL OR holder = :me OR held_until < ${clock})`;
    const parameters = { name, every, me: this.id, ttl: this.ttl };
    const { manager } = this.transactions;
    const read = `SELECT CASE WHEN ${due} THEN 1 ELSE 0 END AS is_due FROM ${chore} WHERE name = :name`;
    const [row] = await select<{ is_due: number }>(manager, read, parameters);
    if (!row) await execute(manager, this.dialect.insertOrIgnore(`INTO ${chore} (name) VALUES (:name)`), { name });
    else if (Number(row.is_due) === 0) return false;
    const take = `UPDATE ${chore} SET holder = :me, ${this.extended} WHERE name = :name AND ${due}`;
    return (await execute(manager, take, parameters)).affected === 1;
  }

  private get extended(): string {
    return `held_until = ${this.dialect.clock} + :ttl`;
  }

  /** Changes the row of a chore, if this process still has it. */
  private async update(manager: EntityManager, name: string, changes: string): Promise<boolean> {
    const update = `UPDATE ${this.tables.chore} SET ${changes} WHERE name = :name AND holder = :me`;
    return (await execute(manager, update, { name, me: this.id, ttl: this.ttl })).affected === 1;
  }
}
