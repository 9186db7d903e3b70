import {
  context,
  type Context,
  ProxyTracerProvider,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { type InterceptedDelivery, RetryLater, type SparkEvent } from '../index.js';
import {
  ATTEMPT,
  BATCH_SIZE,
  DELIVERY_ID,
  ENTERING,
  ERROR_TYPE,
  GROUP,
  HANDLER,
  KEY,
  PROCESSING,
  SCOPE,
} from './attributes.js';
import { traceOf } from './traceparent.js';

/** The span of an attempt, and the context in which its handler runs. */
export interface ProcessSpan {
  readonly span: Span;
  readonly within: Context;
}

// How often it looks for an SDK, in milliseconds. There are many attempts, and a look takes longer than all else that it adds to one.
const LOOK_EVERY = 100;

/** Makes the spans of events and handlers. */
export class Spans {
  private readonly tracer = trace.getTracer(SCOPE);
  /** The span in which the application was created. All that Spark runs by itself inherits it, and it ended long ago. */
  private readonly boot = trace.getActiveSpan();

  private hasProvider = false;
  private nextLook = -Infinity;

  /** @param parent whether handlers continue the trace of their event, in place of a link to it */
  constructor(private readonly parent: boolean) {}

  /** Whether an SDK makes spans: one may be registered after the application was created. Spans that nobody makes still cost. */
  get isOn(): boolean {
    if (this.hasProvider) return true;
    const now = performance.now();
    if (now < this.nextLook) return false;
    this.nextLook = now + LOOK_EVERY;
    const provider = trace.getTracerProvider();
    return (this.hasProvider = !(provider instanceof ProxyTracerProvider && !provider.getDelegateTracer(SCOPE)));
  }

  /** Begins the span of an event that is about to be entered, in the context of the change. Returns undefined without an SDK. */
  begin(event: SparkEvent): Span | undefined {
    if (!this.isOn) return undefined;
    const { group, key, metadata } = event;
    const given = traceOf(metadata);
    const active = context.active();
    const isOwn = this.boot !== undefined && trace.getSpan(active) === this.boot;
    const options = {
      kind: SpanKind.PRODUCER,
      attributes: { ...ENTERING, [GROUP]: group, [KEY]: key },
      links: given && [{ context: given }],
    };
    return this.tracer.startSpan(`enter ${group}`, options, isOwn ? trace.deleteSpan(active) : active);
  }

  /**
   * Ends the span of an event that was entered. A span that never ends is not exported.
   *
   * @param count how many events its commit has entered
   */
  entered(span: Span, count: number): void {
    if (count > 1) span.setAttribute(BATCH_SIZE, count);
    span.end();
  }

  /** Begins the span of an attempt. Whatever runs in the returned context is part of it. Returns undefined without an SDK. */
  process(delivery: InterceptedDelivery): ProcessSpan | undefined {
    if (!this.isOn) return undefined;
    const { id, handler, attempt, event, batch } = delivery;
    if (batch) return this.processMany(handler, batch);
    const origin = traceOf(event.metadata);
    const active = context.active();
    const around = this.parent && origin ? trace.setSpanContext(active, origin) : trace.deleteSpan(active);
    const options = {
      kind: SpanKind.CONSUMER,
      attributes: {
        ...PROCESSING,
        [GROUP]: event.group,
        [HANDLER]: handler,
        [KEY]: event.key,
        [ATTEMPT]: attempt,
        [DELIVERY_ID]: id,
      },
      links: origin && !this.parent ? [{ context: origin }] : undefined,
    };
    const span = this.tracer.startSpan(`process ${handler}`, options, around);
    return { span, within: trace.setSpan(around, span) };
  }

  /** Begins the span of a call with many events. It links to the spans of all of them, because it cannot be a child of each. */
  private processMany(handler: string, batch: readonly InterceptedDelivery[]): ProcessSpan {
    const around = trace.deleteSpan(context.active());
    const groups = new Set(batch.map(({ event }) => event.group));
    const [group] = groups.size === 1 ? groups : [];
    const options = {
      kind: SpanKind.CONSUMER,
      attributes: {
        ...PROCESSING,
        ...(group === undefined ? {} : { [GROUP]: group }),
        [HANDLER]: handler,
        [BATCH_SIZE]: batch.length,
      },
      links: batch.flatMap(({ id, attempt, event }) => {
        const origin = traceOf(event.metadata);
        return origin
          ? [{ context: origin, attributes: { [KEY]: event.key, [DELIVERY_ID]: id, [ATTEMPT]: attempt } }]
          : [];
      }),
    };
    const span = this.tracer.startSpan(`process ${handler}`, options, around);
    return { span, within: trace.setSpan(around, span) };
  }

  /** Notes that an attempt has ended with an error. A handler that asks to be called later has not failed. */
  fail(span: Span, error: unknown, type: string | undefined): void {
    if (error instanceof RetryLater) {
      span.addEvent('retry later', { 'spark.delay': error.milliseconds });
      return;
    }
    if (type !== undefined) span.setAttribute(ERROR_TYPE, type);
    span.recordException(error instanceof Error ? error : String(error));
    span.setStatus({ code: SpanStatusCode.ERROR });
  }
}
