import { SparkLog } from '../common/spark-log.js';
import type { BootContext } from '../common/boot-context.js';
import type { Pauses } from '../notifier/notifiers.js';
import { NoAnswerError } from '../error/no-answer.error.js';
import { linesOf } from '../error/text-of.js';

/**
 * Runs work when it is triggered. It polls as well, because notifications can be lost: soon after a run that had work to do, then later
 * and later. It runs one at a time, and logs a failed one.
 */
export class Ticker {
  private readonly logger = new SparkLog();
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private triggered = false;
  private started = false;
  private pause: number;

  constructor(
    private readonly name: string,
    private readonly context: BootContext,
    private readonly pauses: Pauses,
    /** Runs the work. Returns how much there was to do. */
    private readonly work: () => Promise<number>,
    /** Returns the time until work is due for which no notification comes, in milliseconds. Gets the length of the pause. */
    private readonly nextDue: (pause: number) => Promise<number | undefined> = async () => undefined,
  ) {
    this.pause = pauses.shortest;
  }

  /** Whether it runs when it is triggered. */
  get isStarted(): boolean {
    return this.started;
  }

  start(): void {
    this.started = true;
    this.trigger();
  }

  /** Runs now, or once more after the present run. Call it when there may be work. */
  trigger(): void {
    if (!this.started) return;
    this.triggered = true;
    this.running ??= this.context.run(() => this.run());
  }

  /**
   * Runs when no time is left, if that is before the next run.
   *
   * @param left returns the milliseconds that are left. It is asked again when a timer fires: by the clock, timers may fire early
   */
  triggerWhen(left: () => number): void {
    const delay = left();
    if (!this.started || delay >= this.pauses.longest) return;
    if (delay <= 0) return this.trigger();
    this.context.runNow(() => setTimeout(() => this.triggerWhen(left), delay).unref());
  }

  /** Lets no further run begin. Resolves when the present one has ended. */
  async stop(): Promise<void> {
    this.started = false;
    clearTimeout(this.timer);
    await this.running;
  }

  private async run(): Promise<void> {
    clearTimeout(this.timer);
    // The caller is at the end of a transaction, and need not wait for the run.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.triggered && this.started) {
      this.triggered = false;
      this.pause = (await this.tick()) > 0 ? this.pauses.shortest : Math.min(this.pause * 2, this.pauses.longest);
    }
    // Pauses differ by up to a quarter, so that processes that started together do not poll together.
    const pause = this.pause * (0.75 + Math.random() / 4);
    const due = this.started ? await this.nextDue(pause).catch(() => undefined) : undefined;
    this.running = undefined;
    if (!this.started) return;
    if (this.triggered) this.trigger();
    else this.timer = setTimeout(() => this.trigger(), Math.min(pause, due ?? pause));
  }

  private tick(): Promise<number> {
    return this.work().catch((error: unknown) => {
      // The statement deadline has logged this once for all.
      if (error instanceof NoAnswerError) return 0;
      this.logger.error(`The ${this.name} failed and tries again at its next tick. ${linesOf(error)}`, {
        ticker: this.name,
        error,
      });
      return 0;
    });
  }
}
