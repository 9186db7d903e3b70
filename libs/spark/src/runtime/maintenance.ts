import type { DataSource } from 'typeorm';
import type { BootContext } from '../common/boot-context.js';
import type { SparkClock } from '../common/clock.js';
import type { Counters } from '../common/counters.js';
import type { SparkSettings } from '../config/spark.settings.js';
import type { Dialect } from '../database/dialect.js';
import { withRunner } from '../database/statement.js';
import type { Handling } from '../deliver/handling.js';
import type { TouchedPast } from '../record/touched-past.js';
import type { Adoption } from '../store/adoption.js';
import type { AbandonedRechecks } from '../store/abandoned-rechecks.js';
import { CHORE_EVERY, type Chores, type ConfirmChore } from '../store/chores.js';
import type { FleetLimiter } from '../store/fleet-limiter.js';
import type { Gathered } from '../store/gathered.js';
import type { RegisteredHandlers } from '../store/registered-handlers.js';
import type { Rescue } from '../store/rescue.js';
import { type Retention, RETENTION } from '../store/retention.js';
import { SerialQueue } from '../common/serial-queue.js';
import type { WorkSignals } from './work-signals.js';
import { compareClocks } from './compare-clocks.js';
import { Ticker } from './ticker.js';

const EVERY = 60_000;

/** The parts that maintenance uses. */
interface Maintained {
  readonly dataSource: DataSource;
  readonly dialect: Dialect;
  readonly settings: SparkSettings;
  readonly context: BootContext;
  readonly clock: SparkClock;
  readonly counters: Counters;
  readonly registered: RegisteredHandlers;
  readonly adoption: Adoption;
  readonly past: TouchedPast;
  readonly handling: Handling;
  readonly signals: WorkSignals;
  readonly chores: Chores;
  readonly rescue: Rescue;
  readonly limiter: FleetLimiter;
  readonly gathered: Gathered;
  readonly abandoned: AbandonedRechecks;
  readonly retention: Retention;
}

/**
 * The work of a process once a minute: it registers its handlers again, reads which sources are adopted, and warns of attempts that run
 * long. It also does the chores that no other process has done in that minute: it frees deliveries of unknown processes, and removes old
 * rows.
 */
export class Maintenance {
  private readonly runs = new SerialQueue();
  readonly ticker: Ticker;

  constructor(private readonly parts: Maintained) {
    const tick = () => this.runs.run(() => this.maintain(CHORE_EVERY));
    this.ticker = new Ticker('maintenance', parts.context, { shortest: EVERY, longest: EVERY }, tick);
  }

  /** Runs the maintenance at once, with all chores that no other process is doing. Returns how many deliveries it removed. */
  run(): Promise<number> {
    return this.runs.run(() => this.maintain(0));
  }

  private async maintain(every: number): Promise<number> {
    const { counters, handling, settings, dataSource, registered, adoption, past, clock } = this.parts;
    counters.flush();
    handling.warnOfLong(settings.worker.lease.ttl);
    await compareClocks(this.parts);
    await withRunner(dataSource.manager, async ({ manager }) => {
      await registered.seen(manager, clock.now());
      await adoption.reload(manager);
    });
    await past.closeIfUnused();
    return this.doChores(every);
  }

  private async doChores(every: number): Promise<number> {
    const { dataSource, chores, rescue, signals, limiter, gathered, abandoned, retention, clock } = this.parts;
    let deliveries = 0;
    const errors: unknown[] = [];
    // A chore that fails does not keep the others from being done.
    const run = (name: string, work: (confirm: ConfirmChore) => Promise<void>) =>
      chores.run(name, every, work).catch((error: unknown) => errors.push(error));
    await run('rescue', async () => {
      const rescued = await rescue.ofUnknown();
      if (rescued > 0) signals.rescued(rescued);
    });
    await run('limits', async () => {
      await limiter.prune(dataSource.manager);
      await gathered.prune(dataSource.manager, clock.now());
    });
    if (abandoned.mayPrune(clock.now())) await run('rechecks', (confirm) => abandoned.prune(clock.now(), confirm));
    // Another process may have other options: one that removes nothing leaves the chore to it.
    if (retention.isSet)
      await run(RETENTION, async (confirm) => {
        ({ deliveries } = await retention.prune(clock.now(), { confirm }));
      });
    if (errors.length > 0) throw errors[0];
    return deliveries;
  }
}
