import {
  type BeforeApplicationShutdown,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { setTimeout as delay } from 'node:timers/promises';
import type { ModuleRef } from '@nestjs/core';
import { SchedulerRegistry } from '@nestjs/schedule';
import { CronJob, validateCronExpression } from 'cron';
import { SparkLog } from '../common/spark-log.js';
import type { Rest } from '../common/rest.js';
import { poolSize } from '../database/pool-size.js';
import { Explorer } from './explorer.js';
import type { DecoratedMethods } from './decorated-methods.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { MissingSchedulerError } from '../error/missing-scheduler.error.js';
import { register, registerAtRest } from './boot.js';
import { SPARK, type Spark } from './create-spark.js';
import { linesOf } from '../error/text-of.js';
import { DELIVERIES } from '../notifier/notifier.js';
import { lastSlot } from './last-slot.js';

/** How long a process that ends waits for each answer of the database, in milliseconds. */
const LAST_LIMIT = 1_000;
/** How many connections Spark and the application need beside those of handlers. */
const SPARE = 5;
/** How long after the bootstrap Spark checks whether the application has called `enableShutdownHooks()`, in milliseconds. */
const BOOTED = 1_000;

/** Starts and stops the parts of one SparkModule with the application. */
export class SparkLifecycle
  implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown, OnApplicationShutdown
{
  private readonly logger = new SparkLog();
  private unscheduleSweep = (): void => {};
  /** Until when a shutdown waits for running work, by `performance.now()`. */
  private endsAt = 0;
  /** Whether the application has been initialised. */
  started = false;
  /** Whether rechecks, deliveries and scheduled sweeps run. */
  private running = false;
  /** Whether the last call was `start`, not `pause`. */
  private wanted = true;
  private ended = false;
  private pausing: Promise<void> | undefined;

  constructor(
    private readonly spark: Spark,
    private readonly methods: DecoratedMethods,
    private readonly moduleRef: ModuleRef,
    /** Given if the application boots for a command. */
    private readonly atRest?: Rest,
  ) {}

  /** Runs before the hooks of other modules, so that Spark captures their first writes. */
  async onModuleInit(): Promise<void> {
    new Explorer(this.methods, this.spark, this.methods.instancesOf<Spark>(SPARK)).explore();
    const { sweep } = this.spark.settings;
    if (sweep && 'cron' in sweep) checkCron(sweep.cron);
    if (sweep) this.scheduler();
    const { atRest } = this;
    await (atRest && !atRest.registersHandlers ? registerAtRest(this.spark, atRest) : register(this.spark));
    this.started = true;
  }

  async onApplicationBootstrap(): Promise<void> {
    const { spark } = this;
    if (this.atRest) return;
    const { length: sources } = spark.sources.all();
    const { length: handlers } = spark.handlers.all();
    this.logger.log(
      `Started on the ${spark.dataSourceName} DataSource (event sources: ${sources}, handlers: ${handlers}).`,
      { dataSource: spark.dataSourceName, sources, handlers },
    );
    if (sources + handlers === 0)
      this.logger.warn(
        `No event source and no handler was found for the ${spark.dataSourceName} DataSource, so Spark does nothing. ` +
          `Are the classes with @EventSource and @GroupHandler listed as providers of a module that is imported?`,
        { dataSource: spark.dataSourceName },
      );
    else if (sources === 0 && spark.settings.sweep)
      this.logger.warn(
        `Sweeps of the ${spark.dataSourceName} DataSource are scheduled, but no event source was found for them. ` +
          `Are the classes with @EventSource listed as providers of a module that is imported?`,
        { dataSource: spark.dataSourceName },
      );
    if (spark.clock.isManual) return;
    spark.context.runNow(() => spark.notifier.start());
    if (spark.settings.autoStart && this.wanted) await this.begin();
    if (!spark.settings.worker.enabled || handlers === 0) return;
    this.warnOfSmallPool();
    warnIfNothingListens(spark.settings.worker.lease.ttl);
  }

  private warnOfSmallPool(): void {
    const { concurrency } = this.spark;
    const pool = poolSize(this.spark.dataSource);
    if (concurrency < pool) return;
    this.logger.warn(
      `worker.concurrency is ${concurrency}, and the DataSource has ${pool} connections: handlers that use the database can hold all of ` +
        `them, and everything else waits. Set the DataSource's poolSize to ${concurrency + SPARE} or more, or lower worker.concurrency.`,
      { concurrency, pool },
    );
  }

  /** Starts rechecks, deliveries and scheduled sweeps, unless they run already. */
  async start(): Promise<void> {
    this.wanted = true;
    await this.pausing;
    if (this.wanted) await this.begin();
  }

  /** Stops rechecks, deliveries and scheduled sweeps. Resolves when those that were running have ended. */
  pause(): Promise<void> {
    this.wanted = false;
    if (!this.running) return this.pausing ?? Promise.resolve();
    this.running = false;
    this.pausing = this.rest().finally(() => (this.pausing = undefined));
    return this.pausing;
  }

  private async begin(): Promise<void> {
    const { spark } = this;
    if (this.running || this.ended || this.atRest || spark.clock.isManual) return;
    this.running = true;
    spark.context.runNow(() => {
      this.scheduleSweep();
      this.sweepOpen();
      spark.recheckTicker.start();
      if (spark.settings.worker.enabled) spark.workerTicker.start();
      spark.maintenance.ticker.start();
      spark.alertTicker?.start();
    });
    try {
      await spark.carrying?.begin();
    } catch (error) {
      // The application does not boot, so nothing may go on.
      await this.pause();
      throw error;
    }
  }

  private async rest(): Promise<void> {
    const { recheckRunner, recheckTicker, sweep, worker, workerTicker, handling, carrying } = this.spark;
    this.unscheduleSweep();
    recheckRunner.halt();
    worker.halt();
    const tickers = [recheckTicker.stop(), workerTicker.stop(), carrying?.pause()];
    await Promise.all([...tickers, recheckRunner.ended(), sweep.stop(), handling.idle()]);
    if (this.ended) return;
    recheckRunner.resume();
    worker.resume();
    sweep.resume();
  }

  /** Lets no new work begin, and waits for running rechecks and sweeps. */
  async onModuleDestroy(): Promise<void> {
    const { spark } = this;
    this.ended = true;
    this.unscheduleSweep();
    spark.recheckRunner.halt();
    spark.worker.halt();
    const tickers = [spark.recheckTicker, spark.workerTicker, spark.maintenance.ticker, spark.alertTicker];
    const ended = Promise.all([
      ...tickers.map((ticker) => ticker?.stop()),
      spark.carrying?.stop(),
      spark.recheckRunner.ended(),
      spark.sweep.stop(),
    ]);
    const { shutdownTimeout } = spark.settings;
    this.endsAt = performance.now() + shutdownTimeout;
    spark.deadline.shorten(shutdownTimeout);
    if ((await Promise.race([ended, delay(shutdownTimeout, 'late', { ref: false })])) === 'late')
      this.logger.warn(
        `A recheck or a sweep was still running after ${shutdownTimeout} ms, and Spark no longer waits for it. Check whether a source waits.`,
      );
  }

  /** Waits for running handlers while the DataSource is still open, and gives the lease back. */
  async beforeApplicationShutdown(): Promise<void> {
    const { handling, carrying, counters, lease, settings, signals, notifier, deadline } = this.spark;
    const left = await handling.stop(Math.max(0, this.endsAt - performance.now()));
    await carrying?.stopped(LAST_LIMIT);
    deadline.shorten(LAST_LIMIT);
    await lease.stop();
    if (left > 0) signals.notifyOthers(DELIVERIES);
    await Promise.all([notifier.stop(), deadline.dropIfSilent()]);
    const { fencedAttempts: fenced } = counters.all();
    if (left > 0)
      this.logger.warn(
        `${left} handlers were still running after ${settings.shutdownTimeout} ms; their deliveries are given back.`,
        { deliveries: left },
      );
    if (fenced > 0)
      this.logger.warn(`${fenced} deliveries were taken over by other processes before their handlers ended here.`, {
        deliveries: fenced,
      });
  }

  /** Requests may have been served until now. */
  onApplicationShutdown(): Promise<void> {
    return this.spark.past.close();
  }

  /** Sweeps the sources that say what they want of the past, and were never swept. */
  private sweepOpen(): void {
    const { adoption, sources, sweep } = this.spark;
    const open = sources.all().filter((source) => source.options.history !== undefined && !adoption.has(source));
    if (open.length > 0) this.run(sweep.run((source) => open.includes(source)));
  }

  private scheduleSweep(): void {
    const { sweep } = this.spark.settings;
    if (!sweep) return;
    const name = this.sweepName();
    const registry = this.scheduler();
    if ('interval' in sweep) {
      const tick = () => this.sweep(floored(Date.now(), sweep.interval));
      registry.addInterval(name, setInterval(tick, sweep.interval));
      this.unscheduleSweep = () => registry.doesExist('interval', name) && registry.deleteInterval(name);
      // Without this, an interval that is longer than the life of a process would never end.
      this.run(this.spark.sweep.catchUp(floored(Date.now(), sweep.interval)));
      return;
    }
    const job = new CronJob(sweep.cron, () => this.sweep(planned()), null, false, sweep.timeZone);
    // The planned instant is the same in all processes, even if their clocks differ.
    const planned = plannedInstants(job);
    registry.addCronJob(name, job);
    this.unscheduleSweep = () => registry.doesExist('cron', name) && registry.deleteCronJob(name);
    job.start();
    const missed = lastSlot(sweep.cron, sweep.timeZone, Date.now());
    if (missed !== undefined) this.run(this.spark.sweep.catchUp(missed));
  }

  // The errors of a tick are caught here. An unhandled rejection would end the process.
  private sweep(slot: number): void {
    this.run(this.spark.sweep.tick(slot));
  }

  private run(sweep: Promise<unknown>): void {
    sweep.catch((error: unknown) => {
      const reason = linesOf(error);
      this.logger.error(`The sweep failed; the next one continues it. ${reason}`, { error });
    });
  }

  private sweepName(): string {
    return this.spark.settings.dataSource === undefined
      ? 'spark-sweep'
      : `spark-sweep-${this.spark.settings.dataSource}`;
  }

  private scheduler(): SchedulerRegistry {
    try {
      return this.moduleRef.get(SchedulerRegistry, { strict: false });
    } catch {
      throw new MissingSchedulerError();
    }
  }
}

let isWarned = false;

/** Logs once in a process that it handles no SIGTERM, so that it would end at once. Tests get no such line, because they get no SIGTERM. */
function warnIfNothingListens(ttl: number): void {
  const check = () => {
    if (isWarned || process.listenerCount('SIGTERM') > 0) return;
    isWarned = true;
    new SparkLog().warn(
      `Nothing listens for SIGTERM. At that signal this process ends at once, and other processes take its running deliveries over only ` +
        `after worker.leaseTtl, ${ttl} ms. Call app.enableShutdownHooks() where the application is created.`,
    );
  };
  if (process.env.NODE_ENV !== 'test') setTimeout(check, BOOTED).unref();
}

const floored = (now: number, interval: number): number => Math.trunc(Math.floor(now / interval) * interval);

/** Returns a function that returns the planned instant of each tick of a job. */
function plannedInstants(job: CronJob): () => number {
  let next = job.nextDate().toMillis();
  return () => {
    const planned = next;
    next = job.nextDate().toMillis();
    return planned;
  };
}

function checkCron(cron: string): void {
  const { valid, error } = validateCronExpression(cron);
  if (!valid)
    throw new InvalidOptionsError('sweep.cron', cron, `a cron expression of five or six fields: ${error?.message}`);
}
