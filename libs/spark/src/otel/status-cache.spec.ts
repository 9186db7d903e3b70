import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { SparkStatus } from '../index.js';
import { StatusCache } from './status-cache.js';

let time = 0;
beforeEach(() => {
  time = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => time);
});
afterEach(() => void vi.restoreAllMocks());

const status = {} as SparkStatus;

it('readers at the same time share one status', async () => {
  const read = vi.fn<() => Promise<SparkStatus>>(() => Promise.resolve(status));
  const cache = new StatusCache('default', read);
  expect(await Promise.all([cache.get(), cache.get()])).toEqual([status, status]);
  expect(read).toHaveBeenCalledTimes(1);
});

it.each([
  [10, 5_000],
  [1_000, 20_000],
])('a status that took %d ms is kept for %d ms', async (took, kept) => {
  const read = vi.fn<() => Promise<SparkStatus>>(async () => {
    time += took;
    return status;
  });
  const cache = new StatusCache('default', read);
  await cache.get();
  time += kept - 1;
  await cache.get();
  expect(read).toHaveBeenCalledTimes(1);
  time += 1;
  await cache.get();
  expect(read).toHaveBeenCalledTimes(2);
});
