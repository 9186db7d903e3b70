import { SparkError } from './spark.error.js';

/** How long a process waits at boot for the lock of other processes that create the tables or register, in milliseconds. */
export const BOOT_LOCK_TIMEOUT = 60_000;
/** How long a process waits for the database to answer. The database gives up on the lock after `BOOT_LOCK_TIMEOUT`, and says so. */
export const BOOT_LOCK_PATIENCE = BOOT_LOCK_TIMEOUT + 10_000;

/** Another process holds the lock that a process needs to create the tables and to register handlers. */
export class BootLockError extends SparkError {
  /** @param waited how long, in milliseconds */
  constructor(waited: number) {
    super(
      `Spark cannot start: for ${waited} ms, another process has held the lock that Spark needs to create its tables and to ` +
        `register handlers. Is a process stuck while it starts? Then end it. Does a migration take that long? Then start again when it is done.`,
    );
  }
}
