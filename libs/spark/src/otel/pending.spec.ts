import { expect, it } from 'vitest';
import { Pending } from './pending.js';

it('gives each back once', () => {
  const pending = new Pending<number>(10);
  pending.add('a', 1);
  pending.add('a', 2);
  expect([pending.take('a'), pending.take('a'), pending.take('b')]).toEqual([2, undefined, undefined]);
});

it('keeps the latest ones, however many never end', () => {
  const pending = new Pending<number>(10);
  for (let i = 0; i < 1_000; i++) {
    pending.add(`${i}`, i);
    expect(pending.size).toBeLessThanOrEqual(10);
  }
  expect([999, 998, 995, 1].map((i) => pending.take(`${i}`))).toEqual([999, 998, 995, undefined]);
});
