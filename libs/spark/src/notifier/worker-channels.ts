import type { Dialect } from '../database/dialect.js';
import type { TableNames } from '../database/table-names.js';

/** Runs a statement and returns its rows. */
type Ask = (sql: string) => Promise<readonly { channel: string | null }[]>;

/** Whom to notify: a channel, all processes, or nobody. */
export type Next = { readonly channel: string } | 'all' | 'nobody';

// How long the channels that were read are used, in milliseconds.
const FRESH = 1_000;

/**
 * The channels of the processes that handle deliveries. They get notifications in turn. A process begins with the one after its own, so
 * that notifications that lead to others reach all.
 */
export class WorkerChannels {
  private readonly sql: string;
  private channels: readonly string[] = [];
  private hasOthers = false;
  private readAt = -Infinity;
  private turn: number | undefined;

  constructor(
    { clock }: Dialect,
    { worker }: TableNames,
    /** The channel of this process, which it leaves out. */
    private readonly own: string,
    private readonly ask: Ask,
  ) {
    this.sql = `SELECT channel FROM ${worker} WHERE lease_until > ${clock} AND channel IS DISTINCT FROM '' ORDER BY channel`;
  }

  /** The next one. `all`: a process of the release before handles deliveries, too, and listens only to the channel of all. */
  async next(): Promise<Next> {
    if (performance.now() - this.readAt > FRESH) await this.read();
    if (this.hasOthers) return 'all';
    if (this.channels.length === 0) return 'nobody';
    this.turn = ((this.turn ?? -1) + 1) % this.channels.length;
    return { channel: this.channels[this.turn]! };
  }

  private async read(): Promise<void> {
    // If they cannot be read, all are notified.
    const all = await this.ask(this.sql).then(
      (rows) => rows.map(({ channel }) => channel),
      () => [null],
    );
    this.hasOthers = all.includes(null);
    const channels = all.flatMap((channel) => channel ?? []);
    const at = channels.indexOf(this.own);
    // Processes that handle no deliveries begin anywhere.
    if (at < 0) this.turn ??= Math.floor(Math.random() * channels.length);
    this.channels = at < 0 ? channels : [...channels.slice(at + 1), ...channels.slice(0, at)];
    this.readAt = performance.now();
  }
}
