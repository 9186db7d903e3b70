import { context, type Span } from '@opentelemetry/api';
import {
  BatchError,
  type EventMetadata,
  type InterceptedDelivery,
  RetryLater,
  type SparkEvent,
  SparkInterceptor,
  type SparkInterceptorHooks,
} from '../index.js';
import { ErrorTypes } from './error-types.js';
import type { MessageMetrics } from './message-metrics.js';
import { Pending } from './pending.js';
import type { ProcessSpan, Spans } from './spans.js';
import { traceMetadata } from './traceparent.js';

/** An event that is about to be entered. */
interface Entering {
  readonly span: Span | undefined;
  /** By `performance.now()`. */
  readonly since: number;
}

// More events than transactions that are open at the same time have. Those that never end are kept up to this number.
const MOST_PENDING = 10_000;

/** The interceptor that instruments events and handlers. */
@SparkInterceptor()
export class SparkTelemetry implements SparkInterceptorHooks {
  private readonly pending = new Pending<Entering>(MOST_PENDING);
  private readonly errors = new ErrorTypes();

  constructor(
    private readonly spans: Spans,
    private readonly metrics: MessageMetrics,
  ) {}

  /** Stores with an event where its span is. An event that comes with a trace keeps it. */
  metadata(event: SparkEvent): EventMetadata | undefined {
    const span = this.spans.begin(event);
    if (!span && !this.metrics.isOn) return undefined;
    const metadata = span && traceMetadata(span.spanContext());
    this.pending.add(nameOf(event, metadata), { span, since: performance.now() });
    return metadata;
  }

  onRecorded(events: readonly SparkEvent[]): void {
    if (!this.metrics.isOn && !this.spans.isOn) return;
    for (const event of events) {
      const entering = this.pending.take(nameOf(event));
      if (entering?.span) this.spans.entered(entering.span, events.length);
      this.metrics.entered(event, entering?.since);
    }
  }

  onKnown(events: readonly SparkEvent[]): void {
    if (this.metrics.isOn) for (const event of events) this.metrics.wasKnown(event);
  }

  /** Without an SDK it adds nothing to the handler, not even a promise. */
  aroundHandler(delivery: InterceptedDelivery, next: () => Promise<void>): Promise<void> {
    const process = this.spans.process(delivery);
    return process || this.metrics.isOn ? this.measured(delivery, process, next) : next();
  }

  private async measured(
    delivery: InterceptedDelivery,
    process: ProcessSpan | undefined,
    next: () => Promise<void>,
  ): Promise<void> {
    const since = performance.now();
    this.metrics.begins(delivery);
    let errorType: string | undefined;
    let hasFailed: ((key: string) => boolean) | undefined;
    try {
      await (process ? context.with(process.within, next) : next());
    } catch (error) {
      if (!(error instanceof RetryLater)) errorType = this.errors.of(error);
      if (error instanceof BatchError) hasFailed = (key) => error.failed.has(key);
      if (process) this.spans.fail(process.span, error, errorType);
      throw error;
    } finally {
      process?.span.end();
      this.metrics.processed(delivery, since, errorType, hasFailed);
    }
  }
}

/** Tells an event that is entered from all others with its key. Metadata of the event itself overrides what is added. */
function nameOf({ key, metadata }: SparkEvent, added?: EventMetadata): string {
  const { traceparent = added?.traceparent } = metadata ?? {};
  return typeof traceparent === 'string' ? `${traceparent} ${key}` : key;
}
