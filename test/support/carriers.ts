import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Logger } from '@nestjs/common';
import type { CarriedDelivery, CarriedHandler, CarrierPort, DeliveryReport } from 'nestjs-spark';

/** What a fake Spark has handled. */
export interface Handled {
  readonly id: string;
  readonly handler: string;
}

/** A Spark that has no database: it handles whatever it is given, and remembers it. */
export class FakePort implements CarrierPort {
  readonly handled: Handled[] = [];
  /** The sizes of what it was given at once. */
  readonly sizes: number[] = [];
  wakes = 0;
  isLocal = false;
  /** How long it takes for a delivery, by its handler, in milliseconds. */
  takes: (handler: string) => number = () => 0;
  /** Whether a delivery is still on its way. */
  isUnderWay: (id: string) => boolean = () => true;
  running = 0;
  mostRunning = 0;

  /** The sources of the ranges that it was given. */
  readonly swept: string[] = [];

  constructor(
    readonly handlers: readonly CarriedHandler[],
    readonly sources: readonly string[] = [],
  ) {}

  async handle(deliveries: readonly Handled[]): Promise<readonly DeliveryReport[]> {
    this.sizes.push(deliveries.length);
    this.mostRunning = Math.max(this.mostRunning, ++this.running);
    const mine = deliveries.filter(({ id }) => this.isUnderWay(id));
    const time = this.takes(deliveries[0]!.handler);
    if (time > 0) await delay(time);
    this.handled.push(...mine);
    this.running--;
    return mine.map(({ handler }) => ({ handler, state: 'completed' })) as unknown as DeliveryReport[];
  }

  async sweepRange(source: string): Promise<boolean> {
    this.swept.push(source);
    return true;
  }

  wake(): void {
    this.wakes++;
  }

  fallBack(on: boolean): void {
    this.isLocal = on;
  }

  get ids(): string[] {
    return this.handled.map(({ id }) => id);
  }
}

export const handlerOf = (name: string, more: Partial<CarriedHandler> = {}): CarriedHandler => ({
  name,
  concurrency: 10,
  priority: 0,
  ...more,
});

/** Deliveries of a handler, with new tickets. */
export function deliveriesOf(handler: string, ids: readonly (string | number)[], priority = 0): CarriedDelivery[] {
  return ids.map((id) => ({ id: String(id), handler, ticket: `t-${randomUUID()}`, priority }));
}

export const numbers = (count: number, first = 1): number[] => Array.from({ length: count }, (_, i) => first + i);

/** Waits until something is true. Throws with what `shown` says if it is not in time. */
export async function until(
  is: () => boolean | Promise<boolean>,
  { seconds = 10, shown = () => '' }: { seconds?: number; shown?: () => unknown } = {},
): Promise<void> {
  for (const end = performance.now() + seconds * 1_000; !(await is()); await delay(10))
    if (performance.now() > end) throw new Error(`not within ${seconds} s: ${is.toString()} ${String(shown())}`);
}

/** Collects what carriers log, until it is stopped. */
export function collectLogs(): { lines: string[]; stop: () => void } {
  const lines: string[] = [];
  const line = (level: string) => (message: unknown) => void lines.push(`${level} ${String(message)}`);
  Logger.overrideLogger({ log: line('log'), warn: line('warn'), error: line('error') });
  return { lines, stop: () => Logger.overrideLogger(['error', 'warn', 'log']) };
}
