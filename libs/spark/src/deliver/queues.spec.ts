import { describe, expect, it } from 'vitest';
import type { OpenQueue } from '../database/claim-queues.js';
import type { GroupHandlerOptions } from '../handler/group-handler.decorator.js';
import type { HandlerRoom } from './handler-slots.js';
import { Queues } from './queues.js';

const room = (name: string, options: GroupHandlerOptions = {}, free = 1): HandlerRoom => ({
  handler: { name, where: name, pattern: /./, options, call: () => undefined },
  room: free,
});
const texts = (queues: readonly OpenQueue[]) => queues.map(({ handler, priority }) => `${handler} ${priority}`);
const found = (handler: string, priority: number, suspect = false, since = 0, sinceId = 1) => ({
  handler,
  priority,
  partition: '',
  suspect,
  since,
  sinceId,
});
const NOW = 1_000_000;

describe('the queues that a process claims from', () => {
  it('are those of its handlers, by priority, also before any was found', () => {
    const queues = new Queues();
    expect(texts(queues.ofOthers([room('a', { priority: 5 }), room('b', { priority: -5 }), room('c')]))).toEqual([
      'b -5',
      'c 0',
      'a 5',
    ]);
    expect(queues.ofSuspects([room('a')])).toEqual([]);
  });

  it('are also those of other priorities and former names that were found, each once', () => {
    const queues = new Queues();
    queues.remember([found('a', 0), found('a', 1), found('old', 3), found('a', 0, true), found('gone', 0)], NOW);
    const handlers = [room('a', { aliases: ['old'] }, 4), room('b')];
    expect(texts(queues.ofOthers(handlers))).toEqual(['a 0', 'old 0', 'b 0', 'a 1', 'old 3']);
    expect(texts(queues.ofSuspects(handlers))).toEqual(['a 0']);
    const ofA = queues.ofOthers(handlers).filter(({ handler }) => handler !== 'b');
    expect(new Set(ofA.map(({ of }) => of)).size).toBe(1);
  });

  it('of the same priority take turns: those that got deliveries come last', () => {
    const queues = new Queues();
    const handlers = ['a', 'b', 'c', 'd'].map((name) => room(name));
    const first = () => texts(queues.ofOthers(handlers))[0];
    // Only b and d have deliveries, and one slot is free.
    const served: string[] = [];
    for (let i = 0; i < 4; i++) {
      const next = texts(queues.ofOthers(handlers)).find((queue) => /b|d/.test(queue))![0]!;
      queues.serve([{ handler: next, partition: '' }]);
      served.push(next);
    }
    expect(served).toEqual(['b', 'd', 'b', 'd']);
    queues.serve(['a', 'c'].map((handler) => ({ handler, partition: '' })));
    expect(first()).toBe('b 0');
  });

  it('are new when one is found that was not known', () => {
    const queues = new Queues();
    expect(queues.remember([found('a', 1)], NOW)).toBe(true);
    expect(queues.remember([found('a', 1)], NOW)).toBe(false);
    expect(queues.remember([found('a', 1, true)], NOW)).toBe(true);
    expect(queues.remember([], NOW)).toBe(false);
  });

  it('are read from what the last look found, and a little earlier than it for what was committed late', () => {
    const queues = new Queues();
    const begin = (name: string) => queues.ofOthers([room(name)])[0]!.from;
    expect(begin('a')).toBe(0);
    queues.remember([found('late', 0, false, NOW - 60_000), found('retry', 0, false, NOW + 60_000)], NOW);
    expect(begin('late')).toBe(NOW - 60_000);
    expect([begin('retry'), begin('none')]).toEqual([NOW - 1_000, NOW - 1_000]);
  });

  it('are read from the first of many that are due at the same time', () => {
    const queues = new Queues();
    const begin = () => queues.ofOthers([room('a')])[0]!;
    queues.remember([found('a', 0, false, NOW - 60_000, 7)], NOW);
    expect(begin()).toMatchObject({ from: NOW - 60_000, fromId: 7 });
    expect(queues.remember([found('a', 0, false, NOW - 60_000, 9)], NOW)).toBe(false);
    expect(begin()).toMatchObject({ from: NOW - 60_000, fromId: 9 });
    // One that was given back.
    expect(queues.remember([found('a', 0, false, NOW - 60_000, 8)], NOW)).toBe(true);
    queues.remember([found('a', 0, false, NOW, 10)], NOW);
    expect(begin()).toMatchObject({ from: NOW - 1_000, fromId: 0 });
  });

  it('are read again where a look finds what claims have not read', () => {
    const queues = new Queues();
    queues.remember([found('a', 0, false, NOW)], NOW);
    expect(queues.remember([found('a', 0, false, NOW - 500)], NOW)).toBe(false);
    expect(queues.remember([found('a', 0, false, NOW - 60_000)], NOW)).toBe(true);
  });
});
