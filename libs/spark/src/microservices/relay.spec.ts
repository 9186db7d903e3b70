import { describe, expect, it } from 'vitest';
import { BatchError, DiscardDelivery, RetryLater, type SparkEvent } from '../index.js';
import type { CloudEvent } from './cloud-event.js';
import { relay, type RelayParts } from './relay.js';
import { byFunction } from './senders.js';

const settings = { source: '/shop', data: ({ context }: SparkEvent) => context, extensions: [] };
const { signal } = new AbortController();

/** An event of the order `of`, the `nth` one in the ledger. */
const event = (nth: number, of?: number, context: unknown = {}): SparkEvent => ({
  group: 'order',
  key: `e${nth}`,
  id: String(nth),
  context,
  ...(of === undefined ? {} : { subject: { entity: 'order', id: String(of) } }),
});

/** What the broker got, round by round, and the errors of the events that were not sent. */
async function relayed(events: SparkEvent[], parts: Partial<RelayParts> = {}, fails: Record<string, unknown> = {}) {
  const rounds: string[][] = [];
  const send = async (sent: readonly CloudEvent[]) => {
    rounds.push(sent.map(({ id }) => id));
    return new Map(sent.flatMap(({ id }) => (id in fails ? [[id, fails[id]] as const] : [])));
  };
  const thrown: unknown = await relay(events, { settings, send, overtaking: undefined, ...parts }, signal).catch(
    (error: unknown) => error,
  );
  if (thrown !== undefined && !(thrown instanceof BatchError)) throw thrown;
  return { rounds, failed: new Map(thrown ? thrown.failed : []) };
}

const inOrder = { overtaking: async () => new Map<string, number>() };

describe('a call of a relay', () => {
  it('without an order sends all events at once, those first that were entered first', async () => {
    const { rounds, failed } = await relayed([event(10, 1), event(9, 1), event(2)]);
    expect(rounds).toEqual([['e2', 'e9', 'e10']]);
    expect(failed.size).toBe(0);
  });

  it('without an order, an event that fails stops no other of its entity', async () => {
    const { rounds, failed } = await relayed([event(1, 1, NaN), event(2, 1), event(3, 1)], {}, { e2: new Error('no') });
    expect(rounds).toEqual([['e2', 'e3']]);
    expect([...failed.keys()]).toEqual(['e1', 'e2']);
  });

  it('sends the next event of an entity when the broker has the one before', async () => {
    const { rounds } = await relayed([event(1, 1), event(2, 2), event(3, 1), event(4), event(5, 1)], inOrder);
    expect(rounds).toEqual([['e1', 'e2', 'e4'], ['e3'], ['e5']]);
  });

  it('sends no later event of an entity of which one was not sent', async () => {
    const events = [event(1, 1), event(2, 2), event(3, 1), event(4, 2), event(5, 1)];
    const { rounds, failed } = await relayed(events, inOrder, { e1: new Error('refused') });
    expect(rounds).toEqual([['e1', 'e2'], ['e4']]);
    expect(failed.get('e1')).toEqual(new Error('refused'));
    for (const key of ['e3', 'e5']) expect(failed.get(key)).toBeInstanceOf(RetryLater);
  });

  it('goes on with an entity of which an event is given up', async () => {
    const { rounds, failed } = await relayed([event(1, 1, { a: NaN }), event(2, 1)], inOrder);
    expect(rounds).toEqual([['e2']]);
    expect(failed.get('e1')).toBeInstanceOf(DiscardDelivery);
  });

  it('waits with an event whose data cannot be made now, and with all that follow it', async () => {
    let fails = true;
    const data = () => {
      if (fails) throw new Error('not now');
    };
    const flaky = { ...inOrder, settings: { ...settings, data: ({ key }: SparkEvent) => key === 'e1' && data() } };
    const { rounds, failed } = await relayed([event(1, 1), event(2, 1)], flaky);
    expect(rounds).toEqual([]);
    expect(failed.get('e2')).toBeInstanceOf(RetryLater);
    fails = false;
    expect((await relayed([event(1, 1), event(2, 1)], flaky)).rounds).toEqual([['e1'], ['e2']]);
  });

  it('waits with events that would overtake others until a little after these are due', async () => {
    const overtaking = async () =>
      new Map([
        ['e2', 5_000],
        ['e3', 0],
        ['e4', 10_000_000],
      ]);
    const { rounds, failed } = await relayed([event(1, 1), event(2, 2), event(3, 3), event(4, 4)], { overtaking });
    expect(rounds).toEqual([['e1']]);
    const delays = ['e2', 'e3', 'e4'].map((key) => (failed.get(key) as RetryLater).milliseconds);
    expect(delays).toEqual([5_050, 100, 60_000]);
  });

  it('fails all events of a round that rejects, and only those', async () => {
    let calls = 0;
    const send = async () => {
      if (++calls === 2) throw new Error('gone');
      return new Map();
    };
    const { failed } = await relayed([event(1, 1), event(2, 1), event(3, 2)], { ...inOrder, send });
    expect([...failed.keys()]).toEqual(['e2']);
  });

  it('by a function fails those events alone whose ids are in its BatchError', async () => {
    const send = byFunction(() => Promise.reject(new BatchError(new Map([['e2', new Error('too large')]]))));
    const { failed } = await relayed([event(1), event(2), event(3)], { send });
    expect([...failed]).toEqual([['e2', new Error('too large')]]);
    const foreign = byFunction(() => Promise.reject(new BatchError(['e9'])));
    expect([...(await relayed([event(1), event(2)], { send: foreign })).failed.keys()]).toEqual(['e1', 'e2']);
  });

  it('begins no round after it was aborted', async () => {
    const controller = new AbortController();
    const sent: string[] = [];
    const send = async (events: readonly CloudEvent[]) => {
      sent.push(...events.map(({ id }) => id));
      controller.abort(new Error('the lease is lost'));
      return new Map();
    };
    const parts = { settings, send, ...inOrder };
    await expect(relay([event(1, 1), event(2, 1)], parts, controller.signal)).rejects.toThrow('the lease is lost');
    expect(sent).toEqual(['e1']);
  });
});
