import { expect, it } from 'vitest';
import { Progress, progressText } from './progress.js';

it('says how many are done, the rate, and how long the rest takes', () => {
  const progress = { done: 1_200, what: 'deliveries', total: 5_000, rate: 400 };
  expect(progressText(progress)).toBe('1,200 of 5,000 deliveries, 400/s, 10 s left');
  expect(progressText({ ...progress, total: 1_000_000 })).toBe('1,200 of 1,000,000 deliveries, 400/s, 42 min left');
  expect(progressText({ ...progress, total: undefined })).toBe('1,200 deliveries, 400/s');
  expect(progressText({ ...progress, total: 3, done: 0, rate: 0 })).toBe('0 of 3 deliveries');
});

it('is one line of a terminal that is overwritten and at last removed, and nothing elsewhere', () => {
  const written: string[] = [];
  const stream = (isTTY: boolean) =>
    ({ isTTY, write: (text: string) => written.push(text) }) as unknown as NodeJS.WriteStream;
  const shown = new Progress(stream(true));
  shown.show(500, 'rows of \x1b[2Jorders', 2_000, 100);
  shown.end();
  const hidden = new Progress(stream(false));
  hidden.show(500, 'rows', 2_000, 100);
  hidden.end();
  expect(written).toEqual(['\r500 of 2,000 rows of \\x1b[2Jorders, 100/s, 15 s left\x1b[K', '\r\x1b[K']);
});
