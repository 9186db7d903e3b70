import { createHash } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import type { SparkClock } from '../clock.js';
import type { Recipient } from '../dialect/dialect.js';
import { execute, select } from '../dialect/statement.js';
import type { TableNames } from '../dialect/table-names.js';
import { readPattern, writePattern } from './group-pattern.js';
import type { Handler } from './handler.registry.js';

interface HandlerRow {
  name: string;
  pattern: string;
  priority: number;
  revision: number;
  last_seen_at: string;
}

/** The handlers that all processes have registered in the database, so that each opens the deliveries of all. */
export class RegisteredHandlers {
  private recipients: { recipient: Recipient; pattern: RegExp }[] = [];
  private readonly byGroup = new Map<string, Recipient[]>();
  /** The handlers of this process: they are there, however long it has stood still. */
  private own: ReadonlySet<string> = new Set();
  /** Grows with every handler or pattern that is new, or was thought to be gone: what was matched at an older one may lack handlers. */
  revision = 0;

  constructor(
    private readonly tables: TableNames,
    private readonly clock: SparkClock,
    /** How long after it was last seen a handler still gets deliveries, in milliseconds. */
    private readonly expiry: number,
  ) {}

  /** Registers the handlers of this process. */
  async register(manager: EntityManager, handlers: readonly Handler[], now: number): Promise<void> {
    this.own = new Set(handlers.map(({ name }) => name));
    const known = new Map((await this.rows(manager)).map((row) => [row.name, row]));
    for (const { name, pattern, options } of handlers) {
      const text = writePattern(pattern);
      const row = { name, version: versionOf(text), pattern: text, priority: options.priority ?? 0, now };
      const old = known.get(name);
      if (!old) await this.insert(manager, row);
      else if (old.pattern !== row.pattern || old.priority !== row.priority) await this.change(manager, row);
    }
    await this.seen(manager, now);
  }

  /** Says that the handlers of this process are still there, and reads who else is. */
  async seen(manager: EntityManager, now: number): Promise<void> {
    // Others that thought them gone have matched events without them.
    const update = `UPDATE ${this.tables.handler}
      SET revision = revision + CASE WHEN last_seen_at > :alive THEN 0 ELSE 1 END, last_seen_at = :now WHERE name IN (:...names)`;
    if (this.own.size > 0) await execute(manager, update, { now, alive: now - this.expiry, names: [...this.own] });
    await this.reload(manager);
  }

  /** The handlers whose pattern matches the group. */
  matching(group: string): readonly Recipient[] {
    let matching = this.byGroup.get(group);
    if (!matching) {
      matching = this.recipients.filter(({ pattern }) => pattern.test(group)).map(({ recipient }) => recipient);
      if (this.byGroup.size > 10_000) this.byGroup.clear();
      this.byGroup.set(group, matching);
    }
    return matching;
  }

  async reload(manager: EntityManager): Promise<void> {
    const rows = await this.rows(manager);
    this.recipients = rows
      .filter((row) => this.own.has(row.name) || this.isAlive(row))
      .map(({ name, priority, pattern }) => ({
        recipient: { name, priority: Number(priority) },
        pattern: readPattern(pattern),
      }));
    this.revision = rows.reduce((sum, { revision }) => sum + Number(revision), 0);
    this.byGroup.clear();
  }

  private isAlive(row: HandlerRow): boolean {
    return Number(row.last_seen_at) > this.clock.now() - this.expiry;
  }

  private rows(manager: EntityManager): Promise<HandlerRow[]> {
    return select(
      manager,
      `SELECT name, pattern, priority, revision, last_seen_at FROM ${this.tables.handler} ORDER BY name`,
    );
  }

  private async insert(manager: EntityManager, row: object): Promise<void> {
    await execute(
      manager,
      `INSERT INTO ${this.tables.handler} (name, version, pattern, priority, revision, first_seen_at, last_seen_at)
       VALUES (:name, :version, :pattern, :priority, 1, :now, :now)`,
      row,
    );
  }

  private async change(manager: EntityManager, row: object): Promise<void> {
    const changes = 'version = :version, pattern = :pattern, priority = :priority, revision = revision + 1';
    await execute(manager, `UPDATE ${this.tables.handler} SET ${changes} WHERE name = :name`, row);
  }
}

/** What tells versions of a handler apart: a short hash of its pattern. */
const versionOf = (pattern: string): string => createHash('sha256').update(pattern).digest('hex').slice(0, 16);
