import { describe, expect, it } from 'vitest';
import { readNotification, writeNotification } from './notification.js';
import { ALL_WORK, bothOf, DELIVERIES, isNoWork, NO_WORK, RECHECKS } from './notifier.js';

describe('a notification', () => {
  it.each([
    { work: NO_WORK, isAlone: false },
    { work: ALL_WORK, isAlone: false },
    { work: RECHECKS, isAlone: false },
    { work: DELIVERIES, isAlone: true },
    { work: { rechecks: true, deliveries: ['mails', 'a "b"', 'größe 🙂', 'all'] }, isAlone: true },
  ])('is read as it was written: $work', ({ work, isAlone }) => {
    const text = writeNotification({ from: 'me', work, isAlone });
    expect(readNotification(text)).toEqual({ from: 'me', work, isAlone });
    // Whatever the encoding of the database is.
    expect(text).toMatch(/^[\x20-\x7e]*$/);
  });

  it('with more names than PostgreSQL takes is of any handler', () => {
    const deliveries = Array.from({ length: 100 }, (_, i) => 'ü'.repeat(95) + i);
    const text = writeNotification({ from: 'me', work: { rechecks: false, deliveries }, isAlone: true });
    expect(text.length).toBeLessThan(8_000);
    expect(readNotification(text).work).toEqual(DELIVERIES);
  });

  it.each(['{"from":"old","rechecks":false,"deliveries":true}', '{"from":"old","rechecks":true,"deliveries":false}'])(
    'of the release before is read: %s',
    (text) => {
      const { rechecks, deliveries } = JSON.parse(text) as { rechecks: boolean; deliveries: boolean };
      const work = { rechecks, deliveries: deliveries ? ('all' as const) : [] };
      expect(readNotification(text)).toEqual({ from: 'old', work, isAlone: false });
    },
  );

  it.each(['nonsense', '', undefined, 'null', '5', '[]', '{"deliveries":[1]}', '{"deliveries":{}}'])(
    'that cannot be read is of any work: %s',
    (text) => expect(readNotification(text)).toMatchObject({ work: ALL_WORK, isAlone: false }),
  );
});

describe('work', () => {
  it('of two notifications is that of both', () => {
    const [mails, both] = [
      { rechecks: false, deliveries: ['mails'] },
      { rechecks: true, deliveries: ['mails', 'search'] },
    ];
    expect(bothOf(mails, both)).toEqual(both);
    expect(bothOf(mails, DELIVERIES)).toEqual(DELIVERIES);
    expect(bothOf(NO_WORK, NO_WORK)).toEqual(NO_WORK);
    expect([NO_WORK, mails, DELIVERIES, RECHECKS].map(isNoWork)).toEqual([true, false, false, false]);
  });
});
