import { hostname } from 'node:os';
import type { EntityManager } from 'typeorm';
import { chunks, execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import type { Delivery } from './deliveries.js';

/** The failure of an attempt. */
export interface Failure {
  readonly durationMs: number;
  readonly error: string;
  readonly fingerprint: string;
}

/** The row of a failed attempt. */
export interface AttemptRow {
  readonly attempt: number;
  readonly host: string;
  readonly pid: number;
  readonly started_at: string;
  readonly duration_ms: number;
  readonly error: string;
  readonly fingerprint: string;
}

/** How many failed attempts of a delivery are kept: the latest ones. */
const KEPT = 20;
const ROWS = 1_000;
const LONGEST = { host: 255, durationMs: 2 ** 31 - 1 };

/** The failed attempts. Each is kept as long as its delivery. */
export class FailedAttempts {
  private readonly host = hostname().slice(0, LONGEST.host);

  constructor(private readonly tables: TableNames) {}

  /** Adds a failed attempt, in the transaction that settles it and has locked its delivery. It removes those beyond the limit, oldest first. */
  async add(manager: EntityManager, { id, attempt }: Delivery, failure: Failure): Promise<void> {
    const { host, tables } = this;
    const durationMs = Math.min(failure.durationMs, LONGEST.durationMs);
    // The claim has stored the start.
    await execute(
      manager,
      `INSERT INTO ${tables.attempt} (delivery_id, attempt, host, pid, started_at, duration_ms, error, fingerprint)
       SELECT d.id, :attempt, :host, :pid, d.started_at, :durationMs, :error, :fingerprint FROM ${tables.delivery} d WHERE d.id = :id`,
      { ...failure, id, attempt, host, pid: process.pid, durationMs },
    );
    const older = `SELECT id FROM ${tables.attempt} WHERE delivery_id = :id ORDER BY id DESC LIMIT ${ROWS} OFFSET ${KEPT}`;
    await this.remove(manager, await select<{ id: string }>(manager, older, { id }));
  }

  /** The failed attempts of a delivery that are kept, oldest first. */
  of(manager: EntityManager, deliveryId: string): Promise<AttemptRow[]> {
    const columns = 'attempt, host, pid, started_at, duration_ms, error, fingerprint';
    const own = `SELECT ${columns} FROM ${this.tables.attempt} WHERE delivery_id = :deliveryId ORDER BY id`;
    return select<AttemptRow>(manager, own, { deliveryId });
  }

  /**
   * Removes the failed attempts of deliveries. Call it after the same transaction has removed the deliveries: it sees an attempt that
   * failed meanwhile only then.
   */
  async forget(manager: EntityManager, deliveryIds: readonly string[]): Promise<void> {
    for (const ids of chunks(deliveryIds, ROWS)) {
      const own = `SELECT id FROM ${this.tables.attempt} WHERE delivery_id IN (:...ids)`;
      await this.remove(manager, await select<{ id: string }>(manager, own, { ids }));
    }
  }

  // By primary key, so that the statement waits for no row of other deliveries.
  private async remove(manager: EntityManager, rows: readonly { readonly id: string }[]): Promise<void> {
    for (const part of chunks(rows, ROWS)) {
      const ids = part.map(({ id }) => id);
      await execute(manager, `DELETE FROM ${this.tables.attempt} WHERE id IN (:...ids)`, { ids });
    }
  }
}
