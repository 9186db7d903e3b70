import { Logger } from '@nestjs/common';
import type { BootContext } from '../common/boot-context.js';
import type { Pauses } from '../notifier/notifiers.js';
import { NoAnswerError } from '../error/no-answer.error.js';
import { linesOf } from '../error/text-of.js';

/**
 * Runs work when it is triggered and, as pulses can be lost, every so often: sooner after there was something to do, then
 * later and later. One run at a time; a failed one is logged.
 */
export class Ticker {
  private readonly logger = new Logger('Spark');
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private triggered = false;
  private started = false;
  private pause: number;

  constructor(
    private readonly name: string,
    private readonly context: BootContext,
    private readonly pauses: Pauses,
    /** Returns how much there was to do. */
    private readonly work: () => Promise<number>,
    /** How long it is until something is due that nothing will tell of, in milliseconds, given how long the pause would be. */
    private readonly nextDue: (pause: number) => Promise<number | undefined> = async () => undefined,
  ) {
    this.pause = pauses.shortest;
  }

  start(): void {
    this.started = true;
    this.trigger();
  }

  /** There may be work: runs now, or once more after the present run. */
  trigger(): void {
    if (!this.started) return;
    this.triggered = true;
    this.running ??= this.context.run(() => this.run());
  }

  /** There is work after so many milliseconds, if that is before the next run. */
  triggerIn(delay: number): void {
    if (!this.started || delay >= this.pauses.longest) return;
    this.context.runNow(() => setTimeout(() => this.trigger(), Math.max(0, delay)).unref());
  }

  /** No further run begins; resolves when the present one has ended. */
  async stop(): Promise<void> {
    this.started = false;
    clearTimeout(this.timer);
    await this.running;
  }

  private async run(): Promise<void> {
    clearTimeout(this.timer);
    // Whoever pulses is at the end of a transaction, which need not wait for this.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.triggered && this.started) {
      this.triggered = false;
      this.pause = (await this.tick()) > 0 ? this.pauses.shortest : Math.min(this.pause * 2, this.pauses.longest);
    }
    // Apart by up to a quarter, so that processes started together do not poll together.
    const pause = this.pause * (0.75 + Math.random() / 4);
    const due = this.started ? await this.nextDue(pause).catch(() => undefined) : undefined;
    this.running = undefined;
    if (!this.started) return;
    if (this.triggered) this.trigger();
    else this.timer = setTimeout(() => this.trigger(), Math.min(pause, due ?? pause));
  }

  private tick(): Promise<number> {
    return this.work().catch((error: unknown) => {
      // Said already, once for all that waits.
      if (error instanceof NoAnswerError) return 0;
      this.logger.error(`The ${this.name} failed and goes on at its next tick. ${linesOf(error)}`);
      return 0;
    });
  }
}
