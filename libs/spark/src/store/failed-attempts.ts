import { hostname } from 'node:os';
import type { EntityManager } from 'typeorm';
import { chunks, execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import type { Delivery } from './deliveries.js';

/** How an attempt has failed. */
export interface Failure {
  readonly durationMs: number;
  readonly error: string;
  readonly fingerprint: string;
}

/** A failed attempt, as its row says. */
export interface AttemptRow {
  readonly attempt: number;
  readonly host: string;
  readonly pid: number;
  readonly started_at: string;
  readonly duration_ms: number;
  readonly error: string;
  readonly fingerprint: string;
}

/** How many of a delivery are kept, the latest. */
const KEPT = 20;
const ROWS = 1_000;
const LONGEST = { host: 255, durationMs: 2 ** 31 - 1 };

/** The attempts that failed. They stay as long as their delivery. */
export class FailedAttempts {
  private readonly host = hostname().slice(0, LONGEST.host);

  constructor(private readonly tables: TableNames) {}

  /** Adds one, in the transaction that has ended the attempt: its delivery is locked. The oldest of the delivery make room. */
  async add(manager: EntityManager, { id, attempt }: Delivery, failure: Failure): Promise<void> {
    const { host, tables } = this;
    const durationMs = Math.min(failure.durationMs, LONGEST.durationMs);
    // The claim has noted the start.
    await execute(
      manager,
      `INSERT INTO ${tables.attempt} (delivery_id, attempt, host, pid, started_at, duration_ms, error, fingerprint)
       SELECT d.id, :attempt, :host, :pid, d.started_at, :durationMs, :error, :fingerprint FROM ${tables.delivery} d WHERE d.id = :id`,
      { ...failure, id, attempt, host, pid: process.pid, durationMs },
    );
    const older = `SELECT id FROM ${tables.attempt} WHERE delivery_id = :id ORDER BY id DESC LIMIT ${ROWS} OFFSET ${KEPT}`;
    await this.remove(manager, await select<{ id: string }>(manager, older, { id }));
  }

  /** Those of a delivery that are kept, the oldest first. */
  of(manager: EntityManager, deliveryId: string): Promise<AttemptRow[]> {
    const columns = 'attempt, host, pid, started_at, duration_ms, error, fingerprint';
    const own = `SELECT ${columns} FROM ${this.tables.attempt} WHERE delivery_id = :deliveryId ORDER BY id`;
    return select<AttemptRow>(manager, own, { deliveryId });
  }

  /** Removes those of deliveries that this transaction has removed: one that fails meanwhile is seen once its delivery is gone. */
  async forget(manager: EntityManager, deliveryIds: readonly string[]): Promise<void> {
    for (const ids of chunks(deliveryIds, ROWS)) {
      const own = `SELECT id FROM ${this.tables.attempt} WHERE delivery_id IN (:...ids)`;
      await this.remove(manager, await select<{ id: string }>(manager, own, { ids }));
    }
  }

  // By their primary key, so that no row of others is waited for.
  private async remove(manager: EntityManager, rows: readonly { readonly id: string }[]): Promise<void> {
    for (const part of chunks(rows, ROWS)) {
      const ids = part.map(({ id }) => id);
      await execute(manager, `DELETE FROM ${this.tables.attempt} WHERE id IN (:...ids)`, { ids });
    }
  }
}
