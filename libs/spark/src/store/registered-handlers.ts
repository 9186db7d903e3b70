import { createHash } from 'node:crypto';
import type { EntityManager } from 'typeorm';
import type { SparkClock } from '../common/clock.js';
import { HANDLER_LIVE } from '../config/spark.settings.js';
import type { InitialState } from '../database/delivery-states.js';
import type { Opened, Recipient } from '../database/dialect.js';
import { execute, select } from '../database/statement.js';
import type { TableNames } from '../database/table-names.js';
import { shown } from '../error/text-of.js';
import type { Counters } from '../common/counters.js';
import { GroupMatcher, slowGroupOf } from '../handler/group-matcher.js';
import { readPattern, writePattern } from '../handler/group-pattern.js';
import type { Handler } from '../handler/handler.registry.js';
import { type Candidate, type Lineage, lineagesOf } from './lineages.js';

interface HandlerRow {
  name: string;
  version: string;
  pattern: string;
  priority: number;
  revision: number;
  last_seen_at: string;
  aliases: string | null;
  partition_by: string | null;
}

/** Events of a group whose deliveries are opened in one state. `keys` is given if the deliveries of others are opened in another one. */
export interface GroupState {
  readonly group: string;
  readonly initialState: InitialState;
  readonly keys?: ReadonlySet<string>;
}

/**
 * The handlers that all processes have registered in the database, so that each process opens the deliveries of all handlers. A handler
 * has one version for each pattern, as long as a process has that version.
 */
export class RegisteredHandlers {
  private lineages: Lineage[] = [];
  private readonly byGroup = new Map<string, Recipient[]>();
  private readonly byGroups = new Map<string, readonly Opened[]>();
  private readonly matcher = new GroupMatcher();
  /** The handlers of this process. They never expire here, even if the process has stalled. */
  private own: readonly Handler[] = [];
  /** Grows when a handler or pattern is new, or comes back after it counted as gone. Matches of an older revision may lack handlers. */
  revision = 0;

  constructor(
    private readonly tables: TableNames,
    private readonly clock: SparkClock,
    /** How long after it was last seen a handler still gets deliveries, in milliseconds. */
    private readonly expiry: number,
    private readonly counters: Counters,
  ) {}

  /** Registers the handlers of this process. */
  async register(manager: EntityManager, handlers: readonly Handler[], now: number): Promise<void> {
    this.own = handlers;
    const known = new Map((await this.rows(manager)).map((row) => [idOf(row), row]));
    for (const handler of handlers) {
      const row = { ...rowOf(handler), now };
      const old = known.get(idOf(row));
      if (!old) await this.insert(manager, row);
      else if (isOther(old, row)) await this.change(manager, row);
      this.warnOfSlow(handler);
    }
    await this.seen(manager, now);
  }

  /** Takes the handlers of this process for present without registering them, and reads the handlers of all processes. */
  async know(manager: EntityManager, handlers: readonly Handler[]): Promise<void> {
    this.own = handlers;
    await this.reload(manager);
  }

  /** Stores that the handlers of this process are still there, and reads the handlers of all processes. */
  async seen(manager: EntityManager, now: number): Promise<void> {
    // After HANDLER_LIVE other processes count the handlers as gone and match events without them. A new revision makes them match again.
    const update = `UPDATE ${this.tables.handler}
      SET revision = revision + CASE WHEN last_seen_at > :alive THEN 0 ELSE 1 END, last_seen_at = :now
      WHERE name = :name AND version = :version`;
    for (const { name, version } of this.own.map(rowOf))
      await execute(manager, update, { now, alive: now - HANDLER_LIVE, name, version });
    await this.reload(manager);
  }

  /** The handlers that get deliveries of a group: those with a version whose pattern matches. Each handler comes once, even after a rename. */
  matching(group: string): readonly Recipient[] {
    let matching = this.byGroup.get(group);
    if (!matching) {
      matching = this.lineages.flatMap(({ versions }) => {
        const found = versions.find((candidate) => this.matches(candidate, group));
        return found ? [found.recipient] : [];
      });
      if (this.byGroup.size > 10_000) this.byGroup.clear();
      this.byGroup.set(group, matching);
    }
    return matching;
  }

  /** The handlers that get deliveries of groups, all available. It is kept until the handlers are read again: most saves ask for the same. */
  openedFor(groups: readonly string[]): readonly Opened[] {
    const id = groups.join('\0');
    let opened = this.byGroups.get(id);
    if (!opened) {
      opened = this.openedIn(groups.map((group) => ({ group, initialState: 'available' })));
      if (this.byGroups.size > 1_000) this.byGroups.clear();
      this.byGroups.set(id, opened);
    }
    return opened;
  }

  /** The handlers that get deliveries of groups, and in which state. */
  openedIn(states: readonly GroupState[]): Opened[] {
    const all = new Map<string, Opened & { groups: string[] }>();
    for (const { group, initialState, keys } of states)
      for (const recipient of this.matching(group)) {
        const id = keys ? `${initialState} ${recipient.name} ${group}` : `${initialState} ${recipient.name}`;
        const known = all.get(id);
        if (known) known.groups.push(group);
        else all.set(id, { ...recipient, initialState, groups: [group], keys });
      }
    return [...all.values()];
  }

  async reload(manager: EntityManager): Promise<void> {
    const rows = await this.rows(manager);
    const since = this.clock.now() - this.expiry;
    const others = rows
      .filter((row) => Number(row.last_seen_at) > since)
      .flatMap((row) => {
        const pattern = this.patternOf(row);
        return pattern ? [candidateOf(row, pattern, Number(row.last_seen_at))] : [];
      });
    const own = this.own.map((handler) => candidateOf(rowOf(handler), handler.pattern, Infinity));
    this.lineages = lineagesOf([...own, ...others], HANDLER_LIVE);
    this.revision = rows.reduce((sum, { revision }) => sum + Number(revision), 0);
    this.byGroup.clear();
    this.byGroups.clear();
  }

  /** The names of handlers that no process has now, and when they were last seen, without old names of handlers that still exist. */
  async gone(manager: EntityManager): Promise<Map<string, Date>> {
    const since = this.clock.now() - HANDLER_LIVE;
    const rows = await this.rows(manager);
    const there = [...rows.filter((row) => Number(row.last_seen_at) >= since), ...this.own.map(rowOf)];
    const names = new Set(there.flatMap((row) => [row.name, ...aliasesOf(row)]));
    const gone = new Map<string, Date>();
    for (const { name, last_seen_at: seen } of rows)
      if (!names.has(name)) gone.set(name, new Date(Math.max(Number(seen), gone.get(name)?.getTime() ?? 0)));
    return gone;
  }

  /** All names of the handler that has or had this name, as the processes have registered them. */
  namesOf(name: string): readonly string[] {
    return [...(this.lineages.find(({ names }) => names.has(name))?.names ?? [name])];
  }

  /** The names under which processes have registered handlers, ever. */
  async known(manager: EntityManager): Promise<string[]> {
    return [...new Set((await this.rows(manager)).map(({ name }) => name))];
  }

  /** Returns all names that a handler has had, even if no process has it any more. Empty if no process has registered the name. */
  async allNamesOf(manager: EntityManager, name: string): Promise<string[]> {
    const rows = [...(await this.rows(manager)), ...this.own.map(rowOf)];
    const kin = rows.map((row) => [row.name, ...aliasesOf(row)]);
    const names = new Set(kin.some((all) => all.includes(name)) ? [name] : []);
    for (let before = -1; before !== names.size;) {
      before = names.size;
      for (const all of kin) if (all.some((one) => names.has(one))) for (const one of all) names.add(one);
    }
    return [...names];
  }

  private matches({ pattern, recipient: { name } }: Candidate, group: string): boolean {
    const match = this.matcher.matches(pattern, group);
    if (match === undefined)
      this.counters.reportOnce(
        'unusablePatterns',
        `${name} ${group}`,
        () => {
          const what = `The pattern ${shown(String(pattern))} of ${shown(name)}`;
          return `${what} takes too long for the group ${shown(group)}: it counts as no match, and gets none of its events. ${LINEAR}`;
        },
        { handler: name, group },
      );
    return match ?? false;
  }

  private warnOfSlow({ name, pattern }: Handler): void {
    const group = slowGroupOf(pattern);
    if (group === undefined) return;
    this.counters.reportOnce(
      'unusablePatterns',
      name,
      () => {
        const what = `The pattern ${shown(String(pattern))} of ${shown(name)}`;
        return `${what} takes very long for groups such as ${shown(group)}, which then count as no match. ${LINEAR}`;
      },
      { handler: name },
    );
  }

  private patternOf({ name, pattern }: HandlerRow): RegExp | undefined {
    try {
      return readPattern(pattern);
    } catch {
      this.counters.reportOnce(
        'unusablePatterns',
        `${name} ${pattern}`,
        () =>
          `This process cannot read the pattern ${shown(pattern)} of ${shown(name)}, a handler of another process, and enters events ` +
          `without deliveries for it: SparkService.replay({ handler }) opens them. Run the same version of Node.js in all processes.`,
        { handler: name },
      );
      return undefined;
    }
  }

  private rows(manager: EntityManager): Promise<HandlerRow[]> {
    return select(
      manager,
      `SELECT name, version, pattern, priority, revision, last_seen_at, aliases, partition_by FROM ${this.tables.handler} ORDER BY name, version`,
    );
  }

  private async insert(manager: EntityManager, row: object): Promise<void> {
    await execute(
      manager,
      `INSERT INTO ${this.tables.handler} (name, version, pattern, priority, aliases, partition_by, revision, first_seen_at, last_seen_at)
       VALUES (:name, :version, :pattern, :priority, :aliases, :partition_by, 1, :now, :now)`,
      row,
    );
  }

  private async change(manager: EntityManager, row: object): Promise<void> {
    const described = ['pattern', 'priority', 'aliases', 'partition_by'].map((name) => `${name} = :${name}`);
    const changes = `${described.join(', ')}, revision = revision + 1`;
    await execute(
      manager,
      `UPDATE ${this.tables.handler} SET ${changes} WHERE name = :name AND version = :version`,
      row,
    );
  }
}

const LINEAR = 'Do not nest repetitions, as in (a+)+.';

type Described = Pick<HandlerRow, 'name' | 'version' | 'pattern' | 'priority' | 'aliases' | 'partition_by'>;

// A process of the first release has no versions. It writes its pattern into all rows of the name.
const isOther = (one: Described, other: Described): boolean =>
  one.pattern !== other.pattern ||
  one.priority !== other.priority ||
  one.aliases !== other.aliases ||
  one.partition_by !== other.partition_by;

function rowOf({ name, pattern, options, partitionBy }: Handler): Described {
  const text = writePattern(pattern);
  const { priority = 0, aliases = [] } = options;
  const names = aliases.length === 0 ? null : JSON.stringify(aliases);
  return { name, version: versionOf(text), pattern: text, priority, aliases: names, partition_by: partitionBy ?? null };
}

function candidateOf(row: Described, pattern: RegExp, seen: number): Candidate {
  const { name, priority, partition_by: partitionBy } = row;
  return {
    recipient: { name, priority: Number(priority), partitionBy: partitionBy ?? undefined },
    pattern,
    seen,
    aliases: aliasesOf(row),
  };
}

function aliasesOf({ aliases }: Pick<HandlerRow, 'aliases'>): readonly string[] {
  try {
    const names: unknown = JSON.parse(aliases ?? '[]');
    return Array.isArray(names) ? names.map(String) : [];
  } catch {
    return [];
  }
}

const idOf = ({ name, version }: Pick<HandlerRow, 'name' | 'version'>): string => `${name} ${version}`;

/** The version of a handler: a short hash of its pattern. */
const versionOf = (pattern: string): string => createHash('sha256').update(pattern).digest('hex').slice(0, 16);
