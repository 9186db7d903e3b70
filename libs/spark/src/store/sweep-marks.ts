import type { EntityManager } from 'typeorm';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';

/** What the watch for alerts last saw of the sweeps of a source. */
export interface SweepMark {
  /** How many events all sweeps had found that live capture had missed; undefined if it was never seen. */
  readonly missed: number | undefined;
  /** How far the sweep was; undefined if there was none. */
  readonly place: string | undefined;
  /** Since when it has been there, in epoch milliseconds. */
  readonly since: number;
}

interface Row {
  readonly source: string;
  readonly judged_missed: string | null;
  readonly judged_place: string | null;
  readonly judged_since: string | null;
}

/** The columns of the table of sweeps by which the watch for alerts sees what has changed since it last looked, in whichever process. */
export class SweepMarks {
  constructor(private readonly tables: TableNames) {}

  /** The marks by source. */
  async all(manager: EntityManager): Promise<Map<string, SweepMark>> {
    const rows = await select<Row>(
      manager,
      `SELECT source, judged_missed, judged_place, judged_since FROM ${this.tables.sweep}`,
    );
    return new Map(
      rows.map(({ source, judged_missed: missed, judged_place: place, judged_since: since }) => [
        source,
        { missed: missed === null ? undefined : Number(missed), place: place ?? undefined, since: Number(since) },
      ]),
    );
  }

  async set(manager: EntityManager, source: string, { missed, place, since }: SweepMark): Promise<void> {
    const update = `UPDATE ${this.tables.sweep}
      SET judged_missed = :missed, judged_place = :place, judged_since = :since WHERE source = :source`;
    await execute(manager, update, { source, missed: missed ?? null, place: place ?? null, since });
  }
}
