import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { duration, instant, wholeNumber, wholeNumberOrZero } from './instant.js';

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-06-10T12:00:00Z'), toFake: ['Date'] });
});
afterEach(() => {
  vi.useRealTimers();
});

it.each([
  ['2026-06-01', '2026-06-01T00:00:00.000Z'],
  ['2026-06-01T12:30Z', '2026-06-01T12:30:00.000Z'],
  ['-2d', '2026-06-08T12:00:00.000Z'],
  ['+7d', '2026-06-17T12:00:00.000Z'],
  ['+90m', '2026-06-10T13:30:00.000Z'],
])('%s is %s', (text, expected) => {
  expect(instant(text).toISOString()).toBe(expected);
});

it.each(['', 'yesterday', '7d', '-', '2026-13-01', '1', '+7 lightyears'])('%j is no time', (text) => {
  expect(() => instant(text)).toThrow('It must be a time');
});

it.each(['', '0', '-1', '1.5', 'ten'])('%j is no number of records', (text) => {
  expect(() => wholeNumber(text)).toThrow('a whole number above 0');
});

it.each([
  ['90d', 90 * 86_400_000],
  ['1.5h', 5_400_000],
  ['250 ms', 250],
])('%s is a duration', (text, expected) => {
  expect(duration(text)).toBe(expected);
});

it.each(['', '90', '-90d', '0d', 'soon', '3 lightyears'])('%j is no duration', (text) => {
  expect(() => duration(text)).toThrow('a duration with its unit');
});

it('none at all is a number, too, where a limit is meant', () => {
  expect(wholeNumberOrZero('0')).toBe(0);
  expect(() => wholeNumberOrZero('-1')).toThrow('a whole number, 0 or above');
});
