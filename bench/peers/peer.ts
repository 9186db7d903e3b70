/** What a queue has to do in the measurements: take jobs in, and call a handler that does nothing with each. */
export interface Peer {
  /** Makes its tables, and throws away what is in them. */
  reset(): Promise<void>;
  /** Puts so many jobs in, as fast as it can. */
  fill(count: number): Promise<void>;
  /** Begins to work, and calls `handled` with the number of each job. */
  work(handled: (job: number) => void): Promise<void>;
  /** Puts one job in, in the transaction of a client where it can. */
  add(job: number, client?: { query(text: string, values: unknown[]): Promise<unknown> }): Promise<void>;
  close(): Promise<void>;
}
