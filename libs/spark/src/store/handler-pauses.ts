import type { EntityManager } from 'typeorm';
import type { Dialect } from '../database/dialect.js';
import { execute, select, values } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import type { Transactions } from '../database/transactions.js';
import type { RegisteredHandlers } from './registered-handlers.js';

/** The handlers that are paused, for all processes. Claims leave out the deliveries of each name that has a row here. */
export class HandlerPauses {
  constructor(
    private readonly transactions: Transactions,
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
    private readonly registered: RegisteredHandlers,
  ) {}

  /** Pauses a handler, by all its names. When it resolves, earlier claims have ended, and later claims see the pause. */
  async pause(names: readonly string[], now: number): Promise<void> {
    await this.transactions.runUnread(this.tables.pause, (manager) => this.insert(manager, names, now));
  }

  /** Ends the pause of a handler, by all its names. */
  async resume(names: readonly string[]): Promise<void> {
    const remove = `DELETE FROM ${this.tables.pause} WHERE handler IN (:...names)`;
    await this.transactions.run((manager) => execute(manager, remove, { names }));
  }

  /** Returns since when each name is paused. */
  async since(manager: EntityManager): Promise<Map<string, Date>> {
    const rows = await select<{ handler: string; paused_at: string }>(
      manager,
      `SELECT handler, paused_at FROM ${this.tables.pause} ORDER BY paused_at, handler`,
    );
    return new Map(rows.map(({ handler, paused_at: at }) => [handler, new Date(Number(at))]));
  }

  /** Keeps a handler paused that was renamed while it was paused. Call it after the registration and before the first claim. */
  async followNames(manager: EntityManager): Promise<void> {
    const paused = await this.since(manager);
    for (const [name, since] of paused) {
      const others = (await this.registered.allNamesOf(manager, name)).filter((other) => !paused.has(other));
      await this.insert(manager, others, since.getTime());
    }
  }

  private async insert(manager: EntityManager, names: readonly string[], at: number): Promise<void> {
    if (names.length === 0) return;
    const rows = values(names.map((name) => [name, at]));
    const insert = this.dialect.insertOrIgnore(`INTO ${this.tables.pause} (handler, paused_at) VALUES ${rows.sql}`);
    await execute(manager, insert, rows.parameters);
  }
}
