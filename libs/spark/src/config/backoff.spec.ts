import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { settingsOf } from './spark.settings.js';
import { backoffDelay } from './backoff.js';

const { maxAttempts } = settingsOf({}).worker;
const [SECOND, MINUTE, HOUR] = [1_000, 60_000, 3_600_000];

describe('with the defaults', () => {
  afterEach(() => void vi.restoreAllMocks());

  /** When an attempt begins, after the first one, if each fails at once. */
  const startOf = (attempt: number) =>
    Array.from({ length: attempt - 1 }, (_, i) => backoffDelay(i + 1)).reduce((sum, pause) => sum + pause, 0);
  /** The same in the middle of what chance gives. */
  const medianOf = (attempt: number) => {
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
    return startOf(attempt);
  };

  it('a delivery is tried five times within the first minute, and for two days at least', () => {
    expect(medianOf(5)).toBeLessThan(MINUTE);
    expect(medianOf(maxAttempts)).toBeGreaterThanOrEqual(48 * HOUR);
    vi.restoreAllMocks();
    const ends = Array.from({ length: 1_001 }, () => startOf(maxAttempts)).sort((a, b) => a - b);
    expect(ends[500]).toBeGreaterThanOrEqual(48 * HOUR);
    expect(Math.max(...Array.from({ length: 1_000 }, () => startOf(5)))).toBeLessThan(MINUTE);
  });

  it('the tries are when the documents say', () => {
    const page = readFileSync(resolve(import.meta.dirname, '../../../../docs/production.md'), 'utf8');
    const section = page.slice(page.indexOf('## Retries'));
    const table = section.slice(section.indexOf('|'), section.indexOf('\n\nFrom the 13th'));
    const cells = [...table.matchAll(/(\d+) +\| +([\d.]+ (?:s|min|h))/g)];
    expect(cells).toHaveLength(12);
    for (const [, attempt, after] of cells)
      expect(`${attempt}: ${after}`).toBe(`${attempt}: ${said(medianOf(Number(attempt)))}`);
  });
});

function said(time: number): string {
  const [unit, name] = time < MINUTE ? [SECOND, 's'] : time < HOUR ? [MINUTE, 'min'] : [HOUR, 'h'];
  const count = time / unit;
  return `${count < 10 ? Math.round(count * 10) / 10 : Math.round(count)} ${name}`;
}
