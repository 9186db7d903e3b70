import { type LogFields, SparkLog } from './spark-log.js';
import { shown } from '../error/text-of.js';

/** Counts of what went wrong in this process since it booted. A count that is not 0 needs a person's attention. */
export interface SparkCounts {
  /** When counting began: at the boot of the process. */
  readonly since: Date;
  /** Events that could not be entered. The log and `explain` of the entity give the reason. */
  readonly refusedEvents: number;
  /** How often a source failed for an entity, or Spark could not read the entity. Spark rechecks such entities. */
  readonly failedEntities: number;
  /** Events that were not entered because an event of another entity or group has the same key. */
  readonly collidingKeys: number;
  /** Calls of `emit` within a transaction but without its manager, as far as Spark can detect them. */
  readonly emitsBesideTransaction: number;
  /** Deliveries that this process left to other processes, because it lacks an entity class or a source. Each counts once a minute. */
  readonly leftToOthers: number;
  /** Patterns of handlers that this process cannot read, or that take too long to match a group. */
  readonly unusablePatterns: number;
  /** Rechecks that were removed because no process had a live source of their entity for the time of `retention.rechecks`. */
  readonly abandonedRechecks: number;
  /** Events without any delivery, because no registered handler matched their group. `replay` opens deliveries for a later handler. */
  readonly eventsWithoutHandler: number;
  /**
   * Attempts that ended after another process had taken their delivery over, because this one was too slow to renew its lease. Their
   * handlers may have run twice. The log names them.
   */
  readonly fencedAttempts: number;
  /** How often `metadata`, `onRecorded` or `onKnown` of an interceptor has failed, or `aroundHandler` after a transaction had committed. */
  readonly failedInterceptors: number;
  /** How often a listener of alerts has failed. It is called again. */
  readonly failedAlerts: number;
}

/** The name of a count. */
export type CountName = Exclude<keyof SparkCounts, 'since'>;

// To add a counter, declare it here and in SparkCounts.
const ZERO: Record<CountName, number> = {
  refusedEvents: 0,
  failedEntities: 0,
  collidingKeys: 0,
  emitsBesideTransaction: 0,
  leftToOthers: 0,
  unusablePatterns: 0,
  abandonedRechecks: 0,
  eventsWithoutHandler: 0,
  fencedAttempts: 0,
  failedInterceptors: 0,
  failedAlerts: 0,
};
const MINUTE = 60_000;
// Sources and handlers are few. Past this number, all reports of one count share one line.
const MOST_LINES = 1_000;
// Only the latest ones are kept.
const MOST_REFUSALS = 1_000;

/** When an event was refused, and why. */
export interface Refusal {
  readonly at: Date;
  readonly reason: string;
}

interface Line {
  /** When it was logged, by a monotonic clock. */
  loggedAt: number;
  /** How many reports were left out of the log since then. */
  omitted: number;
  readonly level: 'warn' | 'error';
  readonly about: string;
}

/**
 * Counts and logs problems that neither throw an error to a caller nor end a delivery. `status()` shows the counts. The log gets at
 * most one line a minute for each source, handler or group that has the problem.
 */
export class Counters {
  private readonly logger = new SparkLog();
  private readonly since = new Date();
  private readonly counts = { ...ZERO };
  private readonly lines = new Map<string, Line>();
  private readonly refusals = new Map<string, Refusal>();

  /** The counts so far. */
  all(): SparkCounts {
    return { since: this.since, ...this.counts };
  }

  /** Counts something without a log line. */
  count(name: CountName, by = 1): void {
    this.counts[name] += by;
  }

  /**
   * Counts something and logs it, unless the same count was logged for the same `about` within the last minute. Then the next line
   * says how many were left out.
   *
   * @param about the source, handler or group that it concerns
   * @param message makes the line; called only when the line is logged
   * @param fields what the line is about, for machines
   */
  report(name: CountName, about: string, message: () => string, fields: LogFields = {}): void {
    this.counts[name]++;
    const line = this.lineOf(name, about, 'error');
    const now = performance.now();
    if (now - line.loggedAt < MINUTE) {
      line.omitted++;
      return;
    }
    this.logger.error(message() + more(line.omitted), { problem: name, about, omitted: line.omitted, ...fields });
    line.loggedAt = now;
    line.omitted = 0;
  }

  /** Counts something, and logs it once for each `about` in the life of the process. */
  reportOnce(name: CountName, about: string, message: () => string, fields: LogFields = {}): void {
    this.counts[name]++;
    const line = this.lineOf(name, about, 'warn');
    if (line.loggedAt !== -Infinity) return;
    line.loggedAt = Infinity;
    this.logger.warn(message(), { problem: name, about, ...fields });
  }

  /** Counts and logs an event that was refused, and keeps the reason. */
  refuse(source: string, key: string | undefined, reason: string): void {
    this.report('refusedEvents', source, () => reason, { source, key });
    if (key === undefined) return;
    this.refusals.delete(key);
    this.refusals.set(key, { at: new Date(), reason });
    if (this.refusals.size > MOST_REFUSALS) this.refusals.delete(this.refusals.keys().next().value!);
  }

  /** When and why this process has refused an event, if it is among the latest refusals. */
  refusalOf(key: string): Refusal | undefined {
    return this.refusals.get(key);
  }

  /** Logs how many reports were left out more than a minute ago, where no later report has logged it. */
  flush(): void {
    const now = performance.now();
    for (const line of this.lines.values()) {
      if (line.omitted === 0 || now - line.loggedAt < MINUTE) continue;
      const { about, omitted } = line;
      this.logger[line.level](`${shown(about)}: ${omitted} more like the last line about it.`, { about, omitted });
      line.loggedAt = now;
      line.omitted = 0;
    }
  }

  private lineOf(name: CountName, about: string, level: 'warn' | 'error'): Line {
    const id = this.lines.size < MOST_LINES || this.lines.has(`${name} ${about}`) ? `${name} ${about}` : name;
    let line = this.lines.get(id);
    if (!line) this.lines.set(id, (line = { loggedAt: -Infinity, omitted: 0, level, about }));
    return line;
  }
}

const more = (count: number): string => (count === 0 ? '' : ` And ${count} more like it since the last such line.`);
