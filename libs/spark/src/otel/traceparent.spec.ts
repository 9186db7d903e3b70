import { createTraceState, INVALID_SPAN_CONTEXT } from '@opentelemetry/api';
import { expect, it } from 'vitest';
import { traceMetadata, traceOf } from './traceparent.js';

const traceId = '0af7651916cd43dd8448eb211c80319c';
const spanId = 'b7ad6b7169203331';
const written = (flags: string) => `00-${traceId}-${spanId}-${flags}`;

it('writes what it reads, sampled or not', () => {
  for (const traceFlags of [0, 1]) {
    const metadata = traceMetadata({ traceId, spanId, traceFlags });
    expect(metadata).toEqual({ traceparent: written(`0${traceFlags}`) });
    expect(traceOf(metadata)).toEqual({ traceId, spanId, traceFlags, isRemote: true });
  }
});

it('carries the state of vendors, unless it is long', () => {
  const stated = (text: string) =>
    traceMetadata({ traceId, spanId, traceFlags: 1, traceState: createTraceState(text) });
  expect(stated('a=1,b=2')).toEqual({ traceparent: written('01'), tracestate: 'a=1,b=2' });
  expect(traceOf(stated('a=1,b=2'))?.traceState?.get('b')).toBe('2');
  expect(stated(['a', 'b', 'c'].map((name) => `${name}=${'x'.repeat(200)}`).join())).toEqual({
    traceparent: written('01'),
  });
});

it('writes nothing where there is no trace', () => {
  expect(traceMetadata(INVALID_SPAN_CONTEXT)).toBeUndefined();
});

it.each([
  undefined,
  {},
  { traceparent: 7 },
  { traceparent: null },
  { traceparent: '' },
  { traceparent: 'https://example.com' },
  { traceparent: written('1') },
  { traceparent: written('01-more') },
  { traceparent: written('01').toUpperCase() },
  { traceparent: `ff${written('01').slice(2)}` },
  { traceparent: `00-${'0'.repeat(32)}-${spanId}-01` },
  { traceparent: `00-${traceId}-${'0'.repeat(16)}-01` },
])('reads nothing of %j', (metadata) => {
  expect(traceOf(metadata)).toBeUndefined();
});

it('reads what later versions add', () => {
  expect(traceOf({ traceparent: `01${written('03-more').slice(2)}` })).toMatchObject({
    traceId,
    spanId,
    traceFlags: 1,
  });
  expect(traceOf({ traceparent: `01${written('03').slice(2)}more` })).toBeUndefined();
});
