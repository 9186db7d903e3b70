/** The stack of an error for the log. Errors of drivers also have the parameters of their statements, which stay out of the log. */
export const stackOf = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : `Not an Error: ${String(error)}`;
