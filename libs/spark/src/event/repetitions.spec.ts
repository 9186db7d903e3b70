import { describe, expect, it } from 'vitest';
import { checkContext } from './context-schema.js';
import { defineEvent } from './event-definition.js';
import { eventsAt, standsFor } from './repetitions.js';
import { sparkEvent, type SparkEventOptions } from './spark-event.js';

const MINUTE = 60_000;
const DAY = 1_440 * MINUTE;
const FROM = Date.parse('2026-06-01T12:00:00Z');

const weekly = (options: SparkEventOptions = {}) =>
  sparkEvent('weekly', 7, { id: 7 }, { every: '7d', from: new Date(FROM), ...options });
const keysAt = (now: number, options?: SparkEventOptions) => eventsAt(weekly(options), now).map(({ key }) => key);

describe('an event that repeats', () => {
  it('stands for its latest instant and the next one', () => {
    const until = new Date(FROM + 90 * DAY);
    const metadata = { tenant: 'acme' };
    const rest = { group: 'weekly', context: { id: 7 }, until, metadata };
    expect(eventsAt(weekly({ until, metadata }), FROM + 15 * DAY)).toEqual([
      { ...rest, key: 'weekly_7@2026-06-15T12:00:00.000Z', at: new Date(FROM + 14 * DAY) },
      { ...rest, key: 'weekly_7@2026-06-22T12:00:00.000Z', at: new Date(FROM + 21 * DAY) },
    ]);
    expect(keysAt(FROM - 1)).toEqual(['weekly_7@2026-06-01T12:00:00.000Z']);
    expect(keysAt(FROM, { until: new Date(FROM + 7 * DAY) })).toEqual(['weekly_7@2026-06-01T12:00:00.000Z']);
  });

  it('stands for all past instants if all are to be caught up, up to the latest 1,000', () => {
    expect(keysAt(FROM + 15 * DAY, { catchUp: 'all', key: 'mine' })).toEqual([
      'mine@2026-06-01T12:00:00.000Z',
      'mine@2026-06-08T12:00:00.000Z',
      'mine@2026-06-15T12:00:00.000Z',
      'mine@2026-06-22T12:00:00.000Z',
    ]);
    for (const every of ['1m', '* * * * *']) {
      const many = eventsAt(weekly({ every, catchUp: 'all' }), FROM + 10 * DAY);
      expect(many).toHaveLength(1_001);
      expect(many[0]!.at).toEqual(new Date(FROM + 10 * DAY - 999 * MINUTE));
    }
  });

  it('stands for itself if it is over or cannot be entered, as any other event does', () => {
    const others = [
      weekly({ until: new Date(FROM + DAY) }),
      weekly({ occurrence: 1 }),
      weekly({ until: 1 as never }),
      weekly({ from: null }),
      sparkEvent('once', 1),
    ];
    for (const event of [
      ...others,
      null,
      7,
      {
        get schedule() {
          throw new Error();
        },
      },
    ] as never[])
      expect(eventsAt(event, FROM + DAY)).toEqual([event]);
  });

  it('has each context checked by the schema of its definition', () => {
    const schema = {
      '~standard': {
        version: 1 as const,
        vendor: 'test',
        validate: (value: unknown) => (value === 'good' ? { value } : { issues: [{ message: 'is bad' }] }),
      },
    };
    const typed = defineEvent('weekly', { schema, until: () => new Date(FROM + 90 * DAY), version: 3 });
    const at = (context: unknown) => eventsAt(typed(7, context, { every: '7d', from: new Date(FROM) }), FROM);
    expect(at('good').map((event) => [event.key, event.until, event.metadata])).toEqual(
      [0, 7].map((days) => [
        `weekly_7@${new Date(FROM + days * DAY).toISOString()}`,
        new Date(FROM + 90 * DAY),
        { schemaVersion: 3 },
      ]),
    );
    for (const event of at('good')) expect(() => checkContext(event)).not.toThrow();
    for (const event of at('other')) expect(() => checkContext(event)).toThrow('context: is bad');
  });

  it('stands for an event that was entered if that is one of its instants', () => {
    const at = FROM + 7 * DAY;
    const entered = { key: 'weekly_7@2026-06-08T12:00:00.000Z', at };
    const stands = (options?: SparkEventOptions, now = FROM + 30 * DAY) => standsFor(weekly(options), entered, now);
    expect(stands()).toBe(true);
    expect(stands({}, at - 1)).toBe(false);
    expect(stands({ every: '3.5d' })).toBe(true);
    expect(stands({ every: '0 12 * * MON' })).toBe(true);
    expect(stands({ every: '0 12 * * TUE' })).toBe(false);
    expect(stands({ from: new Date(FROM + DAY) })).toBe(false);
    expect(stands({ from: new Date(at) })).toBe(true);
    expect(stands({ from: new Date(at + 7 * DAY) })).toBe(false);
    expect(stands({ until: new Date(at) })).toBe(false);
    expect(stands({ until: new Date(at + 1) })).toBe(true);
    expect(stands({ from: null })).toBe(false);
    expect(stands({ key: 'mine' })).toBe(false);
    expect(standsFor(weekly(), { ...entered, at: null }, at)).toBe(false);
    expect(standsFor(weekly(), { ...entered, at: at + 7 * DAY }, at + 30 * DAY)).toBe(false);
  });

  it('shares its keys only with the same occurrence of the same id, given by hand', () => {
    const { key } = eventsAt(weekly(), FROM)[0]!;
    const iso = new Date(FROM).toISOString();
    expect(sparkEvent('weekly', 7, undefined, { occurrence: iso }).key).toBe(key);
    const others = [
      sparkEvent('weekly', `7@${iso}`),
      sparkEvent('weekly', [7, iso]),
      sparkEvent(`weekly_7@${iso}`, ''),
    ];
    expect(others.map((other) => other.key)).not.toContain(key);
  });
});
