import type { DataSource } from 'typeorm';
import type { BootContext } from '../common/boot-context.js';
import type { SparkClock } from '../common/clock.js';
import type { Counters } from '../common/counters.js';
import type { SparkSettings } from '../config/spark.settings.js';
import type { Dialect } from '../database/dialect.js';
import { withRunner } from '../database/statement.js';
import type { Worker } from '../deliver/worker.js';
import type { AbandonedRechecks } from '../store/abandoned-rechecks.js';
import type { FleetLimiter } from '../store/fleet-limiter.js';
import type { RegisteredHandlers } from '../store/registered-handlers.js';
import type { Retention } from '../store/retention.js';
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
  readonly worker: Worker;
  readonly limiter: FleetLimiter;
  readonly abandoned: AbandonedRechecks;
  readonly retention: Retention;
}

/** The work of a process once a minute: it registers its handlers again, warns of attempts that run long, and removes old rows. */
export class Maintenance {
  readonly ticker: Ticker;

  constructor(private readonly parts: Maintained) {
    this.ticker = new Ticker('maintenance', parts.context, { shortest: EVERY, longest: EVERY }, () => this.run());
  }

  /** Runs the maintenance once. Returns how many deliveries it removed. */
  async run(): Promise<number> {
    const { counters, worker, settings, dataSource, registered, abandoned, limiter, retention, clock } = this.parts;
    counters.flush();
    worker.warnOfLong(settings.worker.lease.ttl);
    await compareClocks(this.parts);
    await withRunner(dataSource.manager, ({ manager }) => registered.seen(manager, clock.now()));
    await abandoned.prune(clock.now());
    await limiter.prune(dataSource.manager);
    const { deliveries } = await retention.prune(clock.now());
    return deliveries;
  }
}
