import type { EntityManager } from 'typeorm';
import { execute, select } from '../dialect/statement.js';
import type { TableNames } from '../dialect/table-names.js';
import { readPattern, writePattern } from './group-pattern.js';
import type { Handler } from './handler.registry.js';

interface HandlerRow {
  name: string;
  pattern: string;
  revision: number;
}

/** The handlers that all processes have registered in the database, so that each opens the deliveries of all. */
export class RegisteredHandlers {
  private patterns = new Map<string, RegExp>();
  private readonly byGroup = new Map<string, string[]>();
  /** Grows with every handler or pattern that is new: what was matched at an older one may lack handlers. */
  revision = 0;

  constructor(private readonly tables: TableNames) {}

  /** Registers the handlers of this process, or says that they are still there. */
  async register(manager: EntityManager, handlers: readonly Handler[], now: number): Promise<void> {
    const known = new Map((await this.rows(manager)).map((row) => [row.name, row]));
    for (const { name, pattern } of handlers) {
      const row = { name, pattern: writePattern(pattern), now };
      if (!known.has(name)) await this.insert(manager, row);
      else if (known.get(name)!.pattern === row.pattern) await this.update(manager, '', row);
      else await this.update(manager, 'pattern = :pattern, revision = revision + 1,', row);
    }
    await this.reload(manager);
  }

  /** The names of the handlers whose pattern matches the group. */
  matching(group: string): readonly string[] {
    let names = this.byGroup.get(group);
    if (!names) {
      names = [...this.patterns].filter(([, pattern]) => pattern.test(group)).map(([name]) => name);
      if (this.byGroup.size > 10_000) this.byGroup.clear();
      this.byGroup.set(group, names);
    }
    return names;
  }

  async reload(manager: EntityManager): Promise<void> {
    const rows = await this.rows(manager);
    this.patterns = new Map(rows.map(({ name, pattern }) => [name, readPattern(pattern)]));
    this.revision = rows.reduce((sum, { revision }) => sum + Number(revision), 0);
    this.byGroup.clear();
  }

  private rows(manager: EntityManager): Promise<HandlerRow[]> {
    return select(manager, `SELECT name, pattern, revision FROM ${this.tables.handler} ORDER BY name`);
  }

  private async insert(manager: EntityManager, row: object): Promise<void> {
    await execute(
      manager,
      `INSERT INTO ${this.tables.handler} (name, pattern, revision, first_seen_at, last_seen_at)
       VALUES (:name, :pattern, 1, :now, :now)`,
      row,
    );
  }

  private async update(manager: EntityManager, changes: string, row: object): Promise<void> {
    await execute(manager, `UPDATE ${this.tables.handler} SET ${changes} last_seen_at = :now WHERE name = :name`, row);
  }
}
