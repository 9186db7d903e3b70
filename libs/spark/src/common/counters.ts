import { Logger } from '@nestjs/common';
import { shown } from '../error/text-of.js';

/** What has happened in this process since it booted that somebody should look at; 0 where all is well. */
export interface SparkCounts {
  /** Since when they are counted. */
  readonly since: Date;
  /** Events that could not be entered: the log says why, and `explain` for each entity. */
  readonly refusedEvents: number;
  /** How often sources have failed for entities, or could not read them: these are rechecked. */
  readonly failedEntities: number;
  /** Events whose key is another entity's or another group's event: they were not entered. */
  readonly collidingKeys: number;
  /** Calls of `emit` within a transaction, as far as that can be known, without its manager. */
  readonly emitsBesideTransaction: number;
  /** Deliveries given back to other processes, as this one lacks an entity class or a source that they need. Each counts once a minute. */
  readonly leftToOthers: number;
  /** Patterns of handlers that this process cannot read, or that take too long for a group. */
  readonly unusablePatterns: number;
  /** Rechecks that were removed, as no process had a live source of their entity for as long as `retention.rechecks` says. */
  readonly abandonedRechecks: number;
  /** Events without any delivery, as no registered handler matched their group. `replay` opens the deliveries of a handler that came later. */
  readonly eventsWithoutHandler: number;
  /** How often `metadata` or `onRecorded` of an interceptor has failed, or `aroundHandler` after a transaction had committed. */
  readonly failedInterceptors: number;
}

/** The name of a count. */
export type CountName = Exclude<keyof SparkCounts, 'since'>;

// A counter is declared here, and in SparkCounts.
const ZERO: Record<CountName, number> = {
  refusedEvents: 0,
  failedEntities: 0,
  collidingKeys: 0,
  emitsBesideTransaction: 0,
  leftToOthers: 0,
  unusablePatterns: 0,
  abandonedRechecks: 0,
  eventsWithoutHandler: 0,
  failedInterceptors: 0,
};
const MINUTE = 60_000;
// Sources and handlers are few; what would have more lines than these of its own shares one.
const MOST_LINES = 1_000;
// The latest ones are kept.
const MOST_REFUSALS = 1_000;

/** When an event was refused, and why. */
export interface Refusal {
  readonly at: Date;
  readonly reason: string;
}

interface Line {
  /** When it was told, by a clock that only goes forward. */
  loggedAt: number;
  /** How often it was left out since. */
  omitted: number;
  readonly level: 'warn' | 'error';
  readonly about: string;
}

/**
 * Counts what is neither an error of a call nor a delivery's end, so that nothing goes wrong without a word: `status()` shows
 * the counts, and the log gets one line for each source (or whatever else it is about) and minute.
 */
export class Counters {
  private readonly logger = new Logger('Spark');
  private readonly since = new Date();
  private readonly counts = { ...ZERO };
  private readonly lines = new Map<string, Line>();
  private readonly refusals = new Map<string, Refusal>();

  /** The counts so far. */
  all(): SparkCounts {
    return { since: this.since, ...this.counts };
  }

  /** Counts something that the log need not tell. */
  count(name: CountName, by = 1): void {
    this.counts[name] += by;
  }

  /**
   * Counts something and tells of it, unless the log has told the same of the same within a minute: then the next line says how
   * many there were.
   *
   * @param about what it is about: a source, a handler, a group
   * @param message the line, made only where it is told
   */
  report(name: CountName, about: string, message: () => string, level: 'warn' | 'error' = 'error'): void {
    this.counts[name]++;
    const line = this.lineOf(name, about, level);
    const now = performance.now();
    if (now - line.loggedAt < MINUTE) {
      line.omitted++;
      return;
    }
    this.logger[level](message() + more(line.omitted));
    line.loggedAt = now;
    line.omitted = 0;
  }

  /** Counts something and tells of it once for each of what it is about, as long as the process lives. */
  reportOnce(name: CountName, about: string, message: () => string, level: 'warn' | 'error' = 'warn'): void {
    this.counts[name]++;
    const line = this.lineOf(name, about, level);
    if (line.loggedAt !== -Infinity) return;
    line.loggedAt = Infinity;
    this.logger[level](message());
  }

  /** Counts an event that was refused, tells of it, and keeps the reason. */
  refuse(source: string, key: string | undefined, reason: string): void {
    this.report('refusedEvents', source, () => reason);
    if (key === undefined) return;
    this.refusals.delete(key);
    this.refusals.set(key, { at: new Date(), reason });
    if (this.refusals.size > MOST_REFUSALS) this.refusals.delete(this.refusals.keys().next().value!);
  }

  /** When and why this process has refused an event, if that is not long ago. */
  refusalOf(key: string): Refusal | undefined {
    return this.refusals.get(key);
  }

  /** Tells of what was left out of the log and nothing has come after. */
  flush(): void {
    const now = performance.now();
    for (const line of this.lines.values()) {
      if (line.omitted === 0 || now - line.loggedAt < MINUTE) continue;
      this.logger[line.level](`${shown(line.about)}: ${line.omitted} more like the last line about it.`);
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
