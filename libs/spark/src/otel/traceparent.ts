import { createTraceState, isSpanContextValid, type SpanContext, TraceFlags } from '@opentelemetry/api';
import type { EventMetadata } from '../index.js';

const TRACEPARENT = /^[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-|$)/;
const FINAL = /^00-.{52}$/;
// What the W3C asks all to carry. Metadata is small.
const LONGEST_STATE = 512;

/**
 * Writes where a span is, as W3C Trace Context has it. Events have no baggage: it may be personal data, and events are kept.
 *
 * @returns Metadata for an event; undefined if there is no trace, because no SDK is registered.
 */
export function traceMetadata(context: SpanContext): EventMetadata | undefined {
  if (!isSpanContextValid(context)) return undefined;
  const { traceId, spanId, traceFlags, traceState } = context;
  const flags = (traceFlags & TraceFlags.SAMPLED).toString(16).padStart(2, '0');
  const traceparent = `00-${traceId}-${spanId}-${flags}`;
  const tracestate = traceState?.serialize();
  return tracestate && tracestate.length <= LONGEST_STATE ? { traceparent, tracestate } : { traceparent };
}

/** Reads where the span of an event is. Returns undefined if the metadata does not say it, or not as W3C Trace Context has it. */
export function traceOf(metadata: EventMetadata | undefined): SpanContext | undefined {
  const { traceparent, tracestate } = metadata ?? {};
  if (typeof traceparent !== 'string') return undefined;
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent) ?? [];
  const isReadable = traceparent.startsWith('00') ? FINAL.test(traceparent) : !traceparent.startsWith('ff');
  if (!traceId || !spanId || !flags || !isReadable) return undefined;
  const context = { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED, isRemote: true };
  if (!isSpanContextValid(context)) return undefined;
  return typeof tracestate === 'string' ? { ...context, traceState: createTraceState(tracestate) } : context;
}
