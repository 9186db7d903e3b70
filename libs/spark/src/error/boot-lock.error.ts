import { SparkError } from './spark.error.js';

/** How long a process waits at boot for others that register, or make the tables, in milliseconds. */
export const BOOT_LOCK_TIMEOUT = 60_000;
/** How long it waits for the answer, which says at the latest by then that the lock was not to be had. */
export const BOOT_LOCK_PATIENCE = BOOT_LOCK_TIMEOUT + 10_000;

/** Another process holds the lock under which tables are made and handlers are registered. */
export class BootLockError extends SparkError {
  /** @param waited how long, in milliseconds */
  constructor(waited: number) {
    super(
      `Spark cannot start: another process has held the lock under which tables are made and handlers are registered for ` +
        `${waited} ms. Is a process stuck while it starts, or does a migration take that long? End it, or start again when it is done.`,
    );
  }
}
