import type { EntityManager } from 'typeorm';
import type { Dialect } from '../database/dialect.js';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';

/** What an alert is about. */
export interface AlertSubject {
  /** The condition. */
  readonly about: string;
  readonly subject: string;
}

/** Numbers behind an alert. */
export type AlertFigures = Readonly<Record<string, number>>;

/** An alert, or a condition that is not confirmed yet. Instants are in epoch milliseconds. */
export interface AlertRow extends AlertSubject {
  readonly id: string;
  /** When the condition was first seen. */
  readonly since: number;
  /** When it was confirmed, so that there is an alert; undefined if it is not. */
  readonly raisedAt: number | undefined;
  /** When the condition was last seen. */
  readonly seenAt: number;
  /** Since when it is not seen any more; undefined while it is. */
  readonly clearAt: number | undefined;
  /** When the alert was over; 0 if it is not. */
  readonly endedAt: number;
  readonly figures: AlertFigures;
  /** The names of the listeners that were notified that it is raised. */
  readonly notifiedRaised: readonly string[];
  /** The names of the listeners that were notified that it is over. */
  readonly notifiedOver: readonly string[];
  /** How often in a row it could not be sent to all listeners of a process. */
  readonly attempt: number;
}

/** Who was notified of an alert. */
export interface Notified {
  readonly raised: readonly string[];
  readonly over: readonly string[];
  readonly attempt: number;
  /** How long nobody sends it again, in milliseconds; 0 if all was sent. */
  readonly pause: number;
}

type Columns = 'id' | 'about' | 'subject' | 'since' | 'seen_at' | 'ended_at' | 'figures' | 'attempt';
type OptionalColumns = 'raised_at' | 'clear_at' | 'notified_raised' | 'notified_over';
type Row = Record<Columns, string> & Record<OptionalColumns, string | null>;

const COLUMNS =
  'id, about, subject, since, raised_at, seen_at, clear_at, ended_at, figures, notified_raised, notified_over, attempt';

/** A text for each subject, the same for equal ones. */
export const subjectKey = ({ about, subject }: AlertSubject): string => JSON.stringify([about, subject]);

/**
 * The rows of alerts. A change names what the row must still be, so that of two processes one changes it. The unique index lets one alert
 * of a subject be open.
 */
export class Alerts {
  constructor(
    private readonly dialect: Dialect,
    private readonly tables: TableNames,
  ) {}

  /** Reads what is open: alerts that are not over, and conditions that are not confirmed. */
  async open(manager: EntityManager): Promise<AlertRow[]> {
    return this.read(manager, 'ended_at = 0', {});
  }

  /** Reads the alerts of which listeners may have to be notified: those that are not over, or not since an instant. */
  async toNotify(manager: EntityManager, since: number): Promise<AlertRow[]> {
    return this.read(manager, 'raised_at IS NOT NULL AND (ended_at = 0 OR ended_at >= :since)', { since });
  }

  async get(manager: EntityManager, id: string): Promise<AlertRow | undefined> {
    return (await this.read(manager, 'id = :id', { id }))[0];
  }

  /** Stores a condition that was not seen before. Without `raisedAt`, it is not confirmed. */
  async insert(
    manager: EntityManager,
    { about, subject }: AlertSubject,
    figures: AlertFigures,
    now: number,
    raisedAt: number | null,
  ): Promise<void> {
    const row = `INTO ${this.tables.alert} (about, subject, since, raised_at, seen_at, ended_at, figures, attempt)
      VALUES (:about, :subject, :now, :raisedAt, :now, 0, :figures, 0)`;
    const values = { about, subject, now, raisedAt, figures: JSON.stringify(figures) };
    await execute(manager, this.dialect.insertOrIgnore(row), values);
  }

  /** Stores that a condition was seen again. With `raisedAt`, it is confirmed. */
  async seen(
    manager: EntityManager,
    { id }: AlertRow,
    figures: AlertFigures,
    now: number,
    raisedAt: number | null,
  ): Promise<void> {
    const raised = raisedAt === null ? '' : ', raised_at = COALESCE(raised_at, :raisedAt)';
    const changes = `seen_at = :now, clear_at = NULL, figures = :figures${raised}`;
    await this.change(manager, id, changes, { now, figures: JSON.stringify(figures), raisedAt });
  }

  /** Stores that the condition of an alert is not seen any more. */
  async clear(manager: EntityManager, { id }: AlertRow, now: number): Promise<void> {
    await this.change(manager, id, 'clear_at = :now', { now });
  }

  /** Stores that an alert is over. */
  async end(manager: EntityManager, { id }: AlertRow, now: number): Promise<void> {
    await this.change(manager, id, 'ended_at = :now', { now });
  }

  /** Removes what is open: a condition that was not confirmed, or an alert that nobody judges any more. */
  async remove(manager: EntityManager, { id }: AlertRow): Promise<void> {
    await execute(manager, `DELETE FROM ${this.tables.alert} WHERE id = :id AND ended_at = 0`, { id });
  }

  /** Removes alerts that were over before an instant. */
  async prune(manager: EntityManager, before: number): Promise<void> {
    const remove = `DELETE FROM ${this.tables.alert} WHERE ended_at > 0 AND ended_at < :before`;
    await execute(manager, remove, { before });
  }

  /** Claims an alert to send it, for `ttl` milliseconds by the database's clock. Returns whether nobody else sends it. */
  async claim(manager: EntityManager, id: string, notifier: string, ttl: number): Promise<boolean> {
    const { clock } = this.dialect;
    const claim = `UPDATE ${this.tables.alert} SET notifier = :notifier, notifying_until = ${clock} + :ttl
      WHERE id = :id AND (notifying_until IS NULL OR notifying_until < ${clock})`;
    return (await execute(manager, claim, { id, notifier, ttl })).affected === 1;
  }

  /** Stores who was notified, if the claim is still valid or nobody has taken the alert since. */
  async notified(
    manager: EntityManager,
    id: string,
    notifier: string,
    { raised, over, attempt, pause }: Notified,
  ): Promise<void> {
    const until = pause === 0 ? 'NULL' : `${this.dialect.clock} + :pause`;
    const update = `UPDATE ${this.tables.alert}
      SET notified_raised = :raised, notified_over = :over, attempt = :attempt, notifier = NULL, notifying_until = ${until}
      WHERE id = :id AND notifier = :notifier`;
    const lists = { raised: JSON.stringify(raised), over: JSON.stringify(over) };
    await execute(manager, update, { ...lists, id, notifier, attempt, pause });
  }

  private async change(manager: EntityManager, id: string, changes: string, values: object): Promise<void> {
    const update = `UPDATE ${this.tables.alert} SET ${changes} WHERE id = :id AND ended_at = 0`;
    await execute(manager, update, { ...values, id });
  }

  private async read(manager: EntityManager, where: string, values: object): Promise<AlertRow[]> {
    const sql = `SELECT ${COLUMNS} FROM ${this.tables.alert} WHERE ${where} ORDER BY id`;
    return (await select<Row>(manager, sql, values)).map(rowOf);
  }
}

function rowOf(row: Row): AlertRow {
  const instant = (value: string | null) => (value === null ? undefined : Number(value));
  const names = (list: string | null) => (list === null ? [] : (JSON.parse(list) as string[]));
  return {
    id: String(row.id),
    about: row.about,
    subject: row.subject,
    since: Number(row.since),
    raisedAt: instant(row.raised_at),
    seenAt: Number(row.seen_at),
    clearAt: instant(row.clear_at),
    endedAt: Number(row.ended_at),
    figures: JSON.parse(row.figures) as AlertFigures,
    notifiedRaised: names(row.notified_raised),
    notifiedOver: names(row.notified_over),
    attempt: Number(row.attempt),
  };
}
