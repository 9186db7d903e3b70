/** Work that may be due. */
export interface Work {
  readonly rechecks: boolean;
  /** The names of the handlers that deliveries are available for. `all`: any handler. */
  readonly deliveries: readonly string[] | 'all';
}

export const NO_WORK: Work = { rechecks: false, deliveries: [] };
export const RECHECKS: Work = { rechecks: true, deliveries: [] };
/** Deliveries of any handler. */
export const DELIVERIES: Work = { rechecks: false, deliveries: 'all' };
export const ALL_WORK: Work = { rechecks: true, deliveries: 'all' };

export const isNoWork = ({ rechecks, deliveries }: Work): boolean => !rechecks && deliveries.length === 0;

/** The work of both. */
export function bothOf(one: Work, other: Work): Work {
  const names = [one.deliveries, other.deliveries];
  const deliveries = names.includes('all') ? 'all' : [...new Set(names.flat())];
  return { rechecks: one.rechecks || other.rechecks, deliveries };
}

/** Called when another process has notified this one of work. `isAlone`: no other process was, so this one passes on what it cannot do. */
export type OnNotified = (work: Work, isAlone: boolean) => void;

/** Notifies other processes of work sooner than they would find it by polling. If a notification is lost, the next poll finds the work. */
export interface Notifier {
  /** The channel on which others can notify this process alone, for the table of workers. Empty: there is none at present. */
  readonly channel: string;
  start(): void;
  /** Notifies all other processes of work that this process has committed. */
  notifyAll(work: Work): void;
  /** Notifies one process that handles deliveries. If it has no place for the work, it notifies all. */
  notifyOne(work: Work): void;
  /** Notifies one process that handles deliveries of work that this one may have left. If it has no place for the work, it does nothing. */
  hint(work: Work): void;
  stop(): Promise<void>;
}
