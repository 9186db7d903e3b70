import type { SparkClock } from '../common/clock.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { Handler } from '../handler/handler.registry.js';
import type { Delivery } from '../store/deliveries.js';
import type { AttemptCall } from './attempt-call.js';
import type { HandlerCall } from './handler-call.js';
import type { Outcome } from './outcome.js';

/**
 * What an attempt does with an event of a digest whose key is not known yet: it asks for the key, and lets the delivery wait until the
 * window of its key ends. It takes no slot.
 */
export class Gathering implements AttemptCall {
  readonly takesSlot = false;

  constructor(
    private readonly clock: SparkClock,
    private readonly handler: Handler,
    private readonly delivery: Delivery,
    private readonly checks: HandlerCall,
  ) {}

  abort(reason: Error): void {
    this.checks.abort(reason);
  }

  inTime<T>(work: () => T): Promise<Awaited<T>> {
    return this.checks.inTime(work);
  }

  handle(event: SparkEvent): Promise<Outcome> {
    return this.checks.inTime(() => this.gathered(event));
  }

  leave(): boolean {
    return false;
  }

  settle(): boolean {
    return false;
  }

  private gathered(event: SparkEvent): Outcome {
    const { wait, digest } = this.handler.batch!;
    const end = Math.max(this.clock.now(), this.delivery.due + wait);
    return { state: 'gathered', key: digest!.keyOf(event), due: digest!.quietUntil(event, end) ?? end, error: '' };
  }
}
