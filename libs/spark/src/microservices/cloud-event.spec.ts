import { expect, it } from 'vitest';
import type { SparkEvent } from '../index.js';
import { cloudEventOf, isExtension } from './cloud-event.js';

const settings = { source: '/shop', data: ({ context }: SparkEvent) => context, extensions: [] };
const recorded = new Date('2026-06-01T12:00:00Z');
const event: SparkEvent = { group: 'order_paid', key: 'order_paid_7', context: { id: 7 }, id: '12', recorded };

it('has the key, the group, the entity and the time of its event', () => {
  const subject = { entity: 'shop.order', id: '7' };
  expect(cloudEventOf({ ...event, subject }, settings)).toEqual({
    specversion: '1.0',
    id: 'order_paid_7',
    source: '/shop',
    type: 'order_paid',
    subject: 'shop.order/7',
    time: '2026-06-01T12:00:00.000Z',
    datacontenttype: 'application/json',
    data: { id: 7 },
  });
});

it('an emitted event has no subject, and one with an at has that as its time', () => {
  const sent = cloudEventOf({ ...event, at: new Date('2026-05-01T00:00:00Z'), context: undefined }, settings);
  expect(sent).toMatchObject({ time: '2026-05-01T00:00:00.000Z' });
  expect(Object.keys(sent)).not.toContain('subject');
  expect(Object.keys(sent)).not.toContain('data');
});

it('has what the data function returns, and only those fields of the metadata that are named', () => {
  const metadata = {
    tenant: 'acme',
    traceparent: '00-ab-cd-01',
    retries: 3,
    ratio: 0.5,
    roles: ['a'],
    secret: 'x',
    none: null,
  };
  const extensions = ['tenant', 'retries', 'ratio', 'roles', 'none', 'absent'];
  const sent = cloudEventOf({ ...event, metadata }, { ...settings, data: ({ key }) => ({ key }), extensions });
  expect(sent.data).toEqual({ key: 'order_paid_7' });
  expect(sent).toMatchObject({ tenant: 'acme', retries: 3, ratio: '0.5', roles: '["a"]' });
  for (const name of ['secret', 'traceparent', 'none', 'absent']) expect(Object.keys(sent)).not.toContain(name);
});

it.each([
  ['tenant', true],
  ['traceparent', true],
  ['a1', true],
  ['', false],
  ['traceParent', false],
  ['trace_parent', false],
  ['a'.repeat(21), false],
  ['id', false],
  ['data', false],
  [7, false],
])('%o is the name of an extension attribute: %o', (name, expected) => {
  expect(isExtension(name)).toBe(expected);
});
