import { AsyncLocalStorage } from 'node:async_hooks';
import type { DataSource } from 'typeorm';
import { sharedByCopies } from '../common/shared-by-copies.js';

/** A source or a handler that Spark waits for. */
export interface Waited {
  what: string;
  readonly dataSource: DataSource;
  isOver: boolean;
}

/** A place in a chain of events. */
export interface ChainLink {
  /** How many events led to it: 0 outside of any handler. */
  readonly depth: number;
  /** The number of the event whose handler is at work; null outside of any handler. */
  readonly cause: string | null;
}

/** What the code of the present async context works for. */
export interface WorkContext extends ChainLink {
  readonly waited: Waited | undefined;
}

// One storage for all: each costs time for every promise of the process.
const storage = sharedByCopies('work', () => new AsyncLocalStorage<WorkContext>());

const OUTSIDE: WorkContext = { depth: 0, cause: null, waited: undefined };

export const workContext = (): WorkContext => storage.getStore() ?? OUTSIDE;

/** Runs work in this context. */
export const runIn = <T>(context: WorkContext, work: () => T): T => storage.run(context, work);
