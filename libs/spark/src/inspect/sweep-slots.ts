import { CronTime } from 'cron';
import type { SparkSettings } from '../config/spark.settings.js';

// The most sweeps of a plan. A schedule with more is planned in fewer steps.
const MOST = 1_000;
const MOST_READ = 50_000;

/**
 * The instants at which scheduled sweeps run between two instants, in epoch milliseconds. If they are many, it returns some of them,
 * evenly spread. Without a schedule there are none.
 */
export function sweepSlots(sweep: SparkSettings['sweep'], now: number, end: number): number[] {
  if (!sweep || end <= now) return [];
  const slots = 'interval' in sweep ? byInterval(sweep.interval, now, end) : byCron(sweep, now, end);
  const step = Math.ceil(slots.length / MOST);
  return slots.filter((_, i) => i % step === 0);
}

/** The first instant after another one at which a scheduled sweep runs, in epoch milliseconds. */
export function nextSlot(sweep: NonNullable<SparkSettings['sweep']>, after: number): number {
  if ('interval' in sweep) return (Math.floor(after / sweep.interval) + 1) * sweep.interval;
  return nextByCron(new CronTime(sweep.cron, sweep.timeZone), sweep.timeZone, after);
}

function byInterval(interval: number, now: number, end: number): number[] {
  const step = interval * Math.max(1, Math.ceil((end - now) / interval / MOST));
  const slots: number[] = [];
  for (let slot = (Math.floor(now / step) + 1) * step; slot < end; slot += step) slots.push(slot);
  return slots;
}

function byCron({ cron, timeZone }: { cron: string; timeZone?: string }, now: number, end: number): number[] {
  const time = new CronTime(cron, timeZone);
  const slots: number[] = [];
  for (let slot = now; slots.length < MOST_READ;) {
    slot = nextByCron(time, timeZone, slot);
    if (slot >= end) break;
    slots.push(slot);
  }
  return slots;
}

const nextByCron = (time: CronTime, timeZone: string | undefined, after: number): number =>
  time.getNextDateFrom(new Date(after), timeZone).toMillis();
