import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { DELIVERIES, NO_WORK, RECHECKS, type Work } from './notifier.js';
import { Outbox, type Reach } from './outbox.js';

const of = (...deliveries: string[]): Work => ({ rechecks: false, deliveries });

describe('an outbox', () => {
  const opened = () => {
    const sent: [Reach, Work][] = [];
    const answers: (() => void)[] = [];
    const outbox = new Outbox((reach, work) => {
      sent.push([reach, work]);
      return new Promise<void>((resolve) => answers.push(resolve));
    });
    const answer = async () => {
      answers.shift()!();
      await delay(50);
    };
    return { sent, outbox, answer };
  };

  it('sends the first at once, and those until the answer together, to as many as one of them is for', async () => {
    const { sent, outbox, answer } = opened();
    outbox.add('hint', of('a'));
    expect(sent).toEqual([['hint', of('a')]]);
    outbox.add('hint', of('b'));
    outbox.add('one', of('c'));
    await delay(50);
    expect(sent).toHaveLength(1);
    await answer();
    expect(sent.slice(1)).toEqual([['one', of('b', 'c')]]);
    outbox.add('one', DELIVERIES);
    outbox.add('all', RECHECKS);
    await answer();
    expect(sent.slice(2)).toEqual([['all', { rechecks: true, deliveries: 'all' }]]);
    await answer();
    expect(sent).toHaveLength(3);
  });

  it('sends nothing of no work', () => {
    const { sent, outbox } = opened();
    outbox.add('all', NO_WORK);
    expect(sent).toEqual([]);
  });

  it('waits longer, the more notifications of others it gets meanwhile', async () => {
    const { sent, outbox, answer } = opened();
    outbox.add('all', of('a'));
    outbox.add('all', of('b'));
    for (let i = 0; i < 100; i++) outbox.count();
    await answer();
    expect(sent).toHaveLength(2);
    outbox.add('all', of('c'));
    await answer();
    // Without the notifications of others, it would have been sent by now.
    expect(sent).toHaveLength(2);
    await delay(400);
    expect(sent).toHaveLength(3);
  });
});
