import { type Attributes, createNoopMeter, metrics } from '@opentelemetry/api';
import type { InterceptedDelivery, SparkEvent } from '../index.js';
import { ENTERING, ERROR_TYPE, GROUP, HANDLER, PROCESSING, SCOPE } from './attributes.js';
import { FewValues, MOST_GROUPS } from './few-values.js';

// In seconds. The conventions ask for these.
const DURATIONS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const LAGS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400];

/** Counts and measures events and attempts. The names are those of the messaging conventions where they have one. */
export class MessageMetrics {
  private readonly meter = metrics.getMeter(SCOPE);
  /** Whether anything reads the metrics. An SDK that is registered later than this was created does not. */
  readonly isOn = this.meter !== createNoopMeter();
  private readonly groups = new FewValues(MOST_GROUPS);
  private readonly sent = this.meter.createCounter('messaging.client.sent.messages', {
    description: 'Events that this process has entered, after their commit',
    unit: '{message}',
  });
  private readonly known = this.meter.createCounter('spark.known.events', {
    description: 'Events that changes and calls of emit of this process have made once more',
    unit: '{event}',
  });
  private readonly consumed = this.meter.createCounter('messaging.client.consumed.messages', {
    description: 'Attempts of handlers of this process',
    unit: '{message}',
  });
  private readonly entering = this.meter.createHistogram('messaging.client.operation.duration', {
    description: 'How long it takes from the call that enters an event to the end of its transaction',
    unit: 's',
    advice: { explicitBucketBoundaries: DURATIONS },
  });
  private readonly processing = this.meter.createHistogram('messaging.process.duration', {
    description: 'How long attempts of handlers take',
    unit: 's',
    advice: { explicitBucketBoundaries: DURATIONS },
  });
  private readonly lag = this.meter.createHistogram('spark.delivery.lag', {
    description: 'How long deliveries have waited since they were due when their handlers begin',
    unit: 's',
    advice: { explicitBucketBoundaries: LAGS },
  });

  /** Attributes are made once: that costs more than to count. */
  private readonly ofGroups = new Map<string, Attributes>();
  private readonly ofHandlers = new Map<string, Map<string, Attributes>>();

  /** @param since when entering it began, by `performance.now()`; undefined if that is not known */
  entered({ group }: SparkEvent, since: number | undefined): void {
    const attributes = this.ofGroup(group);
    this.sent.add(1, attributes);
    if (since !== undefined) this.entering.record(secondsSince(since), attributes);
  }

  /** Counts an event that was in the ledger already. */
  wasKnown({ group }: SparkEvent): void {
    this.known.add(1, this.ofGroup(group));
  }

  begins(delivery: InterceptedDelivery): void {
    for (const one of delivery.batch ?? [delivery]) this.lag.record(one.lagMs / 1_000, this.of(one));
  }

  /**
   * @param since when the attempt began, by `performance.now()`
   * @param errorType undefined for an attempt that has not failed
   * @param hasFailed which events of a call with many have failed; default: all
   */
  processed(
    delivery: InterceptedDelivery,
    since: number,
    errorType: string | undefined,
    hasFailed: (key: string) => boolean = () => true,
  ): void {
    const attributesOf = (one: InterceptedDelivery, isFailed: boolean) =>
      errorType === undefined || !isFailed ? this.of(one) : { ...this.of(one), [ERROR_TYPE]: errorType };
    for (const one of delivery.batch ?? [delivery]) this.consumed.add(1, attributesOf(one, hasFailed(one.event.key)));
    this.processing.record(secondsSince(since), attributesOf(delivery, true));
  }

  private ofGroup(group: string): Attributes {
    const name = this.groups.of(group);
    return cached(this.ofGroups, name, () => ({ ...ENTERING, [GROUP]: name }));
  }

  private of({ handler, event }: InterceptedDelivery): Attributes {
    const name = this.groups.of(event.group);
    const ofGroups = cached(this.ofHandlers, handler, () => new Map<string, Attributes>());
    return cached(ofGroups, name, () => ({ ...PROCESSING, [GROUP]: name, [HANDLER]: handler }));
  }
}

const secondsSince = (instant: number): number => (performance.now() - instant) / 1_000;

function cached<T>(values: Map<string, T>, key: string, make: () => T): T {
  let value = values.get(key);
  if (value === undefined) values.set(key, (value = make()));
  return value;
}
