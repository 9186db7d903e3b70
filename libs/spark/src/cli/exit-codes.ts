/** The exit codes of the command line. */
export const EXIT = {
  /** Done, or nothing to do. */
  done: 0,
  /** It failed, or a check found something. */
  failed: 1,
  /** The call is wrong. Nothing was changed. */
  misused: 2,
} as const;

/** The exit code of a process that a signal has ended. */
export const SIGNALLED = { SIGINT: 130, SIGTERM: 143 } as const;

/** A signal that ends a command. */
export type EndingSignal = keyof typeof SIGNALLED;
