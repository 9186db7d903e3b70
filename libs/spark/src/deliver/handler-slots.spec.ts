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
/** The free slots of each handler. */
const rooms = (of: HandlerSlots) => of.rooms().map(({ handler: { name }, room }) => `${name} ${room}`);

describe('the places in which a process handles', () => {
  it('are as many as it may, for all handlers together', () => {
    const some = slots(3, 10, handler('a'), handler('b'));
    expect(rooms(some)).toEqual(['a 2', 'b 2']);
    some.take('a', false);
    some.take('b', false);
    expect(rooms(some)).toEqual(['a 1', 'b 1']);
    some.take('a', false);
    expect(rooms(some)).toEqual([]);
  });

  it('are never all one handler’s, where there are others', () => {
    const some = slots(3, 10, handler('a'), handler('b', { concurrency: 3 }));
    some.take('a', false);
    some.take('a', false);
    expect(rooms(some)).toEqual(['b 1']);
    some.leave('a');
    some.leave('a');
    some.take('b', false);
    some.take('b', false);
    expect(rooms(some)).toEqual(['a 1']);
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
    expect(rooms(some)).toEqual([]);
    some.settle(false);
    expect(rooms(some)).toEqual(['a 1']);
  });

  it('are fewer for a handler that says so', () => {
    const some = slots(10, 10, handler('a', { concurrency: 2 }));
    expect(rooms(some)).toEqual(['a 2']);
    some.take('a', false);
    expect(rooms(some)).toEqual(['a 1']);
  });

  it('are no more for transactional handlers than there are connections', () => {
    const some = slots(10, 3, handler('a', { transactional: true }), handler('b', { transactional: true }));
    some.take('a', false);
    some.take('b', false);
    expect(rooms(some)).toEqual(['a 1', 'b 1']);
    some.take('b', false);
    expect(rooms(some)).toEqual([]);
    some.leave('a');
    expect(rooms(some)).toEqual(['a 1', 'b 1']);
  });

  it('take one suspect at a time, until that is written down', () => {
    const some = slots(10, 10, handler('a'));
    expect(some.mayTakeSuspect).toBe(true);
    some.take('a', true);
    expect(some.mayTakeSuspect).toBe(false);
    some.leave('a');
    expect(some.mayTakeSuspect).toBe(false);
    some.settle(true);
    expect(some.mayTakeSuspect).toBe(true);
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
