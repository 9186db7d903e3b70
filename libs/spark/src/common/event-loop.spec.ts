import { afterEach, describe, expect, it, vi } from 'vitest';
import { isBlocking, yieldToEventLoop } from './event-loop.js';

describe('work that blocks the event loop', () => {
  afterEach(() => vi.restoreAllMocks());

  it('is noticed, until it has yielded', async () => {
    const now = performance.now();
    const clock = vi.spyOn(performance, 'now').mockReturnValue(now + 60_000);
    expect(isBlocking()).toBe(true);
    await yieldToEventLoop();
    expect(isBlocking()).toBe(false);
    clock.mockReturnValue(now + 60_011);
    expect(isBlocking()).toBe(true);
  });

  it('is noticed after the clock has gone back', async () => {
    const now = performance.now();
    vi.spyOn(performance, 'now').mockReturnValue(now + 60_000);
    await yieldToEventLoop();
    vi.restoreAllMocks();
    expect(isBlocking()).toBe(true);
    await yieldToEventLoop();
    expect(isBlocking()).toBe(false);
  });
});
