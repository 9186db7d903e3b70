import { expect, it } from 'vitest';
import { progressText } from './progress.js';

it('says how many are done, the rate, and how long the rest takes', () => {
  const progress = { done: 1_200, what: 'deliveries', total: 5_000, rate: 400 };
  expect(progressText(progress)).toBe('1,200 of 5,000 deliveries, 400/s, 10 s left');
  expect(progressText({ ...progress, total: 1_000_000 })).toBe('1,200 of 1,000,000 deliveries, 400/s, 42 min left');
  expect(progressText({ ...progress, total: undefined })).toBe('1,200 deliveries, 400/s');
  expect(progressText({ ...progress, total: 3, done: 0, rate: 0 })).toBe('0 of 3 deliveries');
});
