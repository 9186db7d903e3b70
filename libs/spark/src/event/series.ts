/** Instants in order, in epoch milliseconds. */
export interface Series {
  /** The last instant up to another one, inclusive; undefined if there is none. */
  latest(upTo: number): number | undefined;
  /** The first instant after another one; undefined if there is none. */
  next(after: number): number | undefined;
}
