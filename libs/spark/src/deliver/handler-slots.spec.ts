import { describe, expect, it } from 'vitest';
import type { GroupHandlerOptions } from '../handler/group-handler.decorator.js';
import type { Handler } from '../handler/handler.registry.js';
import { HandlerSlots } from './handler-slots.js';

const handler = (name: string, options: GroupHandlerOptions = {}): Handler => ({
  name,
  where: name,
  pattern: /./,
  options,
  call: () => undefined,
});
const slots = (concurrency: number, connections: number, ...handlers: Handler[]) =>
  new HandlerSlots(concurrency, connections, () => handlers);
/** What would be claimed, `names limit`. */
const asked = (of: HandlerSlots, suspects = false) =>
  [...of.requests(suspects)].map(
    ({ handlers, limit, suspect }) => `${handlers.join()} ${limit}${suspect ? ' suspect' : ''}`,
  );

describe('the places in which a process handles', () => {
  it('are as many as it may, for all handlers together', () => {
    const some = slots(3, 10, handler('a'), handler('b'));
    expect(asked(some)).toEqual(['a,b 2']);
    some.take('a', false);
    some.take('b', false);
    expect(asked(some)).toEqual(['a,b 1']);
    some.take('a', false);
    expect(asked(some)).toEqual([]);
  });

  it('are never all one handler’s, where there are others', () => {
    const some = slots(3, 10, handler('a'), handler('b', { concurrency: 3 }));
    some.take('a', false);
    some.take('a', false);
    expect(asked(some)).toEqual(['b 1']);
    some.leave('a');
    some.leave('a');
    some.take('b', false);
    some.take('b', false);
    expect(asked(some)).toEqual(['a 1']);
  });

  it('wait for what is still to be written down: no more than twice as many are under way', () => {
    const some = slots(3, 10, handler('a'));
    for (let i = 0; i < 5; i++) {
      some.take('a', false);
      some.leave('a');
    }
    expect(some.free).toBe(1);
    some.take('a', false);
    some.leave('a');
    expect(asked(some)).toEqual([]);
    some.settle(false);
    expect(asked(some)).toEqual(['a 1']);
  });

  it('are fewer for a handler that says so', () => {
    const some = slots(10, 10, handler('a', { concurrency: 2 }));
    expect(asked(some)).toEqual(['a 2']);
    some.take('a', false);
    expect(asked(some)).toEqual(['a 1']);
  });

  it('are no more for transactional handlers than there are connections', () => {
    const some = slots(10, 3, handler('a', { transactional: true }), handler('b', { transactional: true }));
    some.take('a', false);
    some.take('b', false);
    expect(asked(some)).toEqual(['a 1', 'b 1']);
    some.take('b', false);
    expect(asked(some)).toEqual([]);
    some.leave('a');
    expect(asked(some)).toEqual(['a 1', 'b 1']);
  });

  it('take one suspect at a time, until that is written down', () => {
    const some = slots(10, 10, handler('a'));
    expect(asked(some, true)).toEqual(['a 1 suspect', 'a 10']);
    some.take('a', true);
    expect(asked(some, true)).toEqual(['a 9']);
    some.leave('a');
    expect(asked(some, true)).toEqual(['a 10']);
    some.settle(true);
    expect(asked(some, true)).toEqual(['a 1 suspect', 'a 10']);
  });

  it('go to the more urgent first; among equals those with limits and those without take turns', () => {
    const limited = { concurrency: 1 };
    const some = slots(10, 10, handler('a'), handler('b', limited), handler('c', { ...limited, priority: -1 }));
    expect(asked(some)).toEqual(['c 1', 'b 1', 'a 9']);
    expect(asked(some)).toEqual(['c 1', 'a 9', 'b 1']);
  });

  it('tell who waits when one is left', async () => {
    const some = slots(1, 10, handler('a'));
    some.take('a', false);
    const freed = some.freed();
    some.leave('a');
    await freed;
    expect(some.free).toBe(1);
  });
});
