import type { DataSource } from 'typeorm';

/** A database of a round's own. */
export interface Server {
  /** Options of a DataSource that reads it. */
  readonly options: object;
  /** Options of an actor's DataSource; the driver knows its connections by its name. */
  optionsFor(actor: string): { readonly type: string; readonly url?: string };
  /** Cuts a connection of an actor, if it has one; undefined where there are none to cut. */
  readonly cut: ((db: DataSource, actor: string) => Promise<boolean>) | undefined;
  /** Ends it as a crash would, and starts it again; undefined where there is no server. */
  readonly crash: (() => Promise<void>) | undefined;
  stop(): Promise<void>;
}
