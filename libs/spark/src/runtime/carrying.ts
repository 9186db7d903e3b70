import { setTimeout as delay } from 'node:timers/promises';
import type { BootContext } from '../common/boot-context.js';
import { SparkLog } from '../common/spark-log.js';
import type { CarrierPort, DeliveryCarrier } from '../config/carrier.js';
import type { Carriage } from '../deliver/carriage.js';
import type { Dispatcher } from '../deliver/dispatcher.js';
import type { TakeOvers } from '../deliver/take-overs.js';
import { lineOf, linesOf } from '../error/text-of.js';
import type { Handler } from '../handler/handler.registry.js';
import { sourceNames, type SourceRegistry } from '../source/source.registry.js';
import type { Ticker } from './ticker.js';

// How long a boot waits for the carrier to start, in milliseconds.
const LONGEST_START = 5_000;

/** Starts and stops the carrier of this process, and what sends and takes over deliveries and ranges of sweeps by it. */
export class Carrying {
  private readonly logger = new SparkLog();
  private starting: Promise<void> | undefined;
  private stopping: Promise<void> = Promise.resolve();
  private isRunning = false;
  /** Whether the carrier has started, and is in use. */
  private isOpen = false;

  constructor(
    private readonly carrier: DeliveryCarrier,
    private readonly carriage: Carriage,
    private readonly dispatcher: Dispatcher,
    readonly takeOvers: TakeOvers,
    private readonly context: BootContext,
    /** Starts the rounds of the dispatcher. */
    readonly ticker: Ticker,
    private readonly workerTicker: Ticker,
    private readonly sources: SourceRegistry,
    /** Sweeps a range of a sweep that other processes are running. Returns whether there was one. */
    private readonly helpSweep: (source: string) => Promise<boolean>,
  ) {}

  /** Whether this process sends deliveries of a handler now. */
  hasRoom(handler: Handler): boolean {
    return this.ticker.isStarted && this.dispatcher.hasRoom(handler);
  }

  /** Sends and takes over. The first time it starts the carrier, and waits for that, but not for ever. Throws the error of its start. */
  async begin(): Promise<void> {
    this.isRunning = true;
    this.takeOvers.open();
    this.starting ??= this.context.runNow(async () => this.carrier.start(this.port()));
    const started = this.started(this.starting);
    if ((await Promise.race([started, delay(LONGEST_START, 'late', { ref: false })])) !== 'late') return;
    this.logger.warn(
      `The carrier has not started for ${LONGEST_START} ms. Spark sends deliveries by it once it has; until then they wait.`,
    );
    started.catch((error: unknown) => {
      this.logger.error(`The carrier could not start, so that Spark sends nothing by it: ${linesOf(error)}`, { error });
    });
  }

  /** Asks other processes to sweep ranges of a source, if the carrier can. Nothing waits for it. */
  askForHelp(source: string, ranges: number): void {
    if (!this.isOpen) return;
    const asking = this.context.runNow(async () => this.carrier.sendRanges?.(source, ranges));
    asking.catch((error: unknown) => {
      this.logger.debug(`The carrier did not take ranges of a sweep: ${lineOf(error)}`, { source, error });
    });
  }

  private async started(starting: Promise<void>): Promise<void> {
    await starting;
    this.isOpen = this.isRunning;
    if (this.isRunning && this.carrier.dispatches) this.ticker.start();
  }

  /** Sends and takes over nothing, until `begin`. What arrives waits for that. */
  async pause(): Promise<void> {
    this.isRunning = false;
    this.isOpen = false;
    this.takeOvers.close();
    await this.ticker.stop();
  }

  /** Stops the carrier. What has arrived and was not taken over is available to other processes at once. */
  async stop(): Promise<void> {
    this.isRunning = false;
    this.isOpen = false;
    this.takeOvers.end();
    if (this.starting) this.stopping = this.context.runNow(async () => this.carrier.stop()).catch(this.stopFailed);
    await this.ticker.stop();
  }

  /** Waits until the carrier has stopped, for up to `timeout` milliseconds. */
  async stopped(timeout: number): Promise<void> {
    if ((await Promise.race([this.stopping, delay(timeout, 'late', { ref: false })])) === 'late')
      this.logger.warn(`The carrier has not stopped in time, and Spark no longer waits for it.`);
  }

  private async sweepRange(source: string): Promise<boolean> {
    try {
      return (await this.takeOvers.opened()) && (await this.helpSweep(source));
    } catch (error) {
      this.logger.debug(`A range of a sweep could not be taken: ${lineOf(error)}`, { source, error });
      return false;
    }
  }

  private readonly stopFailed = (error: unknown): void => {
    this.logger.error(`The carrier could not stop: ${linesOf(error)}`, { error });
  };

  private port(): CarrierPort {
    return {
      handlers: this.dispatcher.carried,
      sources: this.sources.all().flatMap(sourceNames),
      handle: (deliveries) => this.takeOvers.handle(deliveries),
      sweepRange: (source) => this.sweepRange(source),
      wake: () => {
        if (this.dispatcher.isShortOfRoom) this.ticker.trigger();
      },
      fallBack: (on) => {
        this.carriage.fallBack(on);
        this.ticker.trigger();
        this.workerTicker.trigger();
      },
    };
  }
}
