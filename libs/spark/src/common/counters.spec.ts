import { Logger } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Counters } from './counters.js';

describe('counters', () => {
  const lines: string[] = [];

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['performance'] });
    lines.length = 0;
    vi.spyOn(Logger.prototype, 'error').mockImplementation((line: string) => void lines.push(line));
    vi.spyOn(Logger.prototype, 'warn').mockImplementation((line: string) => void lines.push(line));
  });

  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  it('tell one line for each source and minute, and how many there were', () => {
    const counters = new Counters();
    for (let i = 0; i < 1_000; i++) counters.report('refusedEvents', 'A.events', () => `A ${i}.`);
    counters.report('refusedEvents', 'B.events', () => 'B.');
    expect(lines).toEqual(['A 0.', 'B.']);
    vi.advanceTimersByTime(60_000);
    counters.report('refusedEvents', 'A.events', () => 'A again.');
    expect(lines.slice(2)).toEqual(['A again. And 999 more like it since the last such line.']);
    expect(counters.all()).toMatchObject({ refusedEvents: 1_002, collidingKeys: 0 });
  });

  it('tell of what was left out when nothing comes after it', () => {
    const counters = new Counters();
    for (let i = 0; i < 3; i++) counters.report('refusedEvents', 'A.events', () => `A ${i}.`);
    counters.flush();
    expect(lines).toEqual(['A 0.']);
    vi.advanceTimersByTime(60_000);
    counters.flush();
    counters.flush();
    expect(lines.slice(1)).toEqual(['A.events: 2 more like the last line about it.']);
  });

  it('tell once where once is enough', () => {
    const counters = new Counters();
    for (let i = 0; i < 3; i++) counters.reportOnce('collidingKeys', 'A', () => 'A.');
    vi.advanceTimersByTime(600_000);
    counters.reportOnce('collidingKeys', 'A', () => 'A.');
    counters.flush();
    expect(lines).toEqual(['A.']);
    expect(counters.all().collidingKeys).toBe(4);
  });

  it('remember a bounded number of lines, whatever they are about', () => {
    const counters = new Counters();
    for (let i = 0; i < 5_000; i++) counters.report('refusedEvents', `${i}`, () => `${i}`);
    expect(lines).toHaveLength(1_001);
    expect(counters.all().refusedEvents).toBe(5_000);
  });
});
