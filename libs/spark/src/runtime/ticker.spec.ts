import { describe, expect, it, vi } from 'vitest';
import { BootContext } from '../common/boot-context.js';
import { Ticker } from './ticker.js';

describe('Ticker', () => {
  it('runs when no time is left, also if a timer fires early', async () => {
    const left = [5, 2, 0];
    const runs: number[] = [];
    const pauses = { shortest: 60_000, longest: 60_000 };
    const ticker = new Ticker('test', new BootContext(), pauses, async () => runs.push(left.length));
    ticker.start();
    await vi.waitFor(() => expect(runs).toEqual([3]));
    ticker.triggerWhen(() => left.shift()!);
    await vi.waitFor(() => expect(runs).toEqual([3, 0]));
    await ticker.stop();
  });
});
