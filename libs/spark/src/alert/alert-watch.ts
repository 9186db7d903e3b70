import { hostname } from 'node:os';
import type { EntityManager } from 'typeorm';
import type { AlertCondition } from '../config/alert.options.js';
import type { AlertSettings } from '../config/alert.settings.js';
import { namesOf, tableOf } from '../entity/entity-table.js';
import { healthOf, leaseOf, MOST, type SparkHealth } from '../inspect/health.js';
import type { Inspected } from '../inspect/inspected.js';
import { type AlertRow, type Alerts, subjectKey } from '../store/alerts.js';
import { CHORE_EVERY, type Chores, type ConfirmChore } from '../store/chores.js';
import type { Rechecks } from '../store/rechecks.js';
import type { SweepMarks } from '../store/sweep-marks.js';
import { type Finding, type Judged, type Judgement, judgementOf, markOf } from './judgement.js';
import type { AlertNotifier } from './alert-notifier.js';

/**
 * How long a condition has to be true before it raises an alert, in milliseconds: until the next time that it is judged. What has
 * happened, such as a discard, raises one at once.
 */
const CONFIRMED = CHORE_EVERY;
const AT_ONCE: readonly AlertCondition[] = ['discarded', 'missed'];
/** How long a condition has to be untrue before its alert is over, in milliseconds. */
const CALM = 5 * 60_000;
/** How long an alert is kept that no process judges any more, in milliseconds. */
const UNJUDGED = 30 * 24 * 60 * 60_000;

/** The parts that the watch uses. */
export interface Watched extends Inspected {
  readonly chores: Chores;
  readonly rechecks: Rechecks;
}

/**
 * Watches for conditions that a person should know of. In each minute, one process of all compares the figures with the limits, and stores
 * what has changed. Then each process notifies its listeners of what they did not get. Nothing is sent before it is stored.
 */
export class AlertWatch {
  private isBooting = true;
  /** Whether this process has reported that it has no lease, and that is not over. */
  private isReported = false;

  constructor(
    private readonly parts: Watched,
    private readonly settings: AlertSettings,
    private readonly alerts: Alerts,
    private readonly marks: SweepMarks,
    private readonly notifier: AlertNotifier,
  ) {}

  /**
   * The work of each minute. A process begins with its second tick: after a downtime, all is late, and the first minute works most of it
   * off.
   */
  async tick(): Promise<number> {
    if (this.isBooting) this.isBooting = false;
    else await this.run(CHORE_EVERY);
    return 0;
  }

  /** Judges, unless a process has in the last `every` milliseconds, and notifies. A part that fails keeps no other from being done. */
  async run(every: number): Promise<void> {
    const errors: unknown[] = [];
    const parts: (() => Promise<unknown>)[] = [
      () => this.reportLease(),
      () => this.parts.chores.run('alerts', every, (confirm) => this.judge(confirm)),
      () => this.notifier.notify(),
    ];
    for (const part of parts) await part().catch((error: unknown) => errors.push(error));
    if (errors.length > 0) throw errors[0];
  }

  private async judge(confirm: ConfirmChore): Promise<void> {
    const { parts, settings } = this;
    const health = await healthOf(parts, { discardedWithin: settings.limits.get('discarded')?.within });
    const now = health.now.getTime();
    const rechecks = await this.dueRechecks(now);
    await parts.transactions.run(async (manager) => {
      const [open, marks] = [await this.open(manager), await this.marks.all(manager)];
      const judged: Judged = { now, health, rechecks, marks, isScheduled: parts.settings.sweep !== undefined, open };
      await this.store(manager, judgementOf(judged, settings.limits), open, now);
      await this.mark(manager, health, judged);
      await this.alerts.prune(manager, now - parts.settings.retention.alerts);
      await confirm(manager);
    });
  }

  /** Reports that this process has no lease though it should have one, as no other process knows that. */
  private async reportLease(): Promise<void> {
    const { parts, settings } = this;
    const lease = leaseOf(parts);
    const isMissing = lease === 'lost' || lease === 'pending';
    if (!settings.limits.has('lease') || (!isMissing && !this.isReported)) return;
    const own: Finding = {
      about: 'lease',
      subject: `${hostname()} (pid ${process.pid})`,
      figures: { pid: process.pid },
    };
    const now = parts.clock.now();
    await parts.transactions.run(async (manager) => {
      const open = await this.open(manager);
      const isOwn = (row: AlertRow) => subjectKey(row) === subjectKey(own);
      await this.store(manager, { found: isMissing ? [own] : [], isClear: isOwn }, open, now);
      this.isReported = isMissing || [...open.values()].some(isOwn);
    });
  }

  private async open(manager: EntityManager): Promise<Map<string, AlertRow>> {
    return new Map((await this.alerts.open(manager)).map((row) => [subjectKey(row), row]));
  }

  /** Since when rechecks of the entities of this process are due. An entity of which that is unknown is left out. */
  private async dueRechecks(now: number): Promise<Map<string, number | undefined>> {
    const { transactions, rechecks, sources } = this.parts;
    const due = await rechecks.longestDue(transactions.manager, now, MOST);
    const isAll = due.reduce((sum, entity) => sum + entity.rechecks, 0) < MOST;
    const known = new Map<string, number | undefined>();
    for (const root of sources.liveRoots()) {
      const own = due.filter(({ entity }) => namesOf(root).includes(entity)).map(({ since }) => since);
      if (isAll || own.length > 0) known.set(tableOf(root), own.length > 0 ? Math.min(...own) : undefined);
    }
    return known;
  }

  /** Stores what has changed. */
  private async store(
    manager: EntityManager,
    { found, isClear }: Judgement,
    open: ReadonlyMap<string, AlertRow>,
    now: number,
  ): Promise<void> {
    const keys = new Set(found.map(subjectKey));
    for (const finding of found) await this.see(manager, finding, open.get(subjectKey(finding)), now);
    for (const [key, row] of open) {
      if (keys.has(key)) continue;
      if (isClear(row)) await this.calm(manager, row, now);
      else if (now - row.seenAt > UNJUDGED) await this.alerts.remove(manager, row);
    }
  }

  private async see(manager: EntityManager, finding: Finding, row: AlertRow | undefined, now: number): Promise<void> {
    const isConfirmed = AT_ONCE.includes(finding.about) || (row !== undefined && now - row.since >= CONFIRMED);
    const raisedAt = isConfirmed ? now : null;
    if (row) await this.alerts.seen(manager, row, finding.figures, now, raisedAt);
    else await this.alerts.insert(manager, finding, finding.figures, now, raisedAt);
  }

  private async calm(manager: EntityManager, row: AlertRow, now: number): Promise<void> {
    const { clearAt } = row;
    if (row.raisedAt === undefined) await this.alerts.remove(manager, row);
    else if (clearAt === undefined) await this.alerts.clear(manager, row, now);
    else if (now - clearAt >= this.calmOf(row)) await this.alerts.end(manager, row, now);
  }

  /** An event is missed in a moment, so it counts for a time. */
  private calmOf({ about }: AlertRow): number {
    return about === 'missed' ? this.settings.limits.get(about)!.within : CALM;
  }

  private async mark(manager: EntityManager, { sweeps }: SparkHealth, judged: Judged): Promise<void> {
    for (const sweep of sweeps) {
      const [before, mark] = [judged.marks.get(sweep.source), markOf(judged, sweep)];
      const isSame = before?.missed === mark.missed && before?.place === mark.place;
      if (!isSame) await this.marks.set(manager, sweep.source, mark);
    }
  }
}
