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
    slot = time.getNextDateFrom(new Date(slot), timeZone).toMillis();
    if (slot >= end) break;
    slots.push(slot);
  }
  return slots;
}
