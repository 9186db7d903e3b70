import { describe, expect, it } from 'vitest';
import { isSnapshot, snapshot } from './snapshot.js';

class Money {
  constructor(public cents: number) {}
}

class Challenge {
  id = 7;
  title = 'Run';
  startDate = new Date(5);
  price = new Money(100);
  tags = ['a', { deep: 1 }] as unknown[];
  scores = new Map<unknown, unknown>([['x', { points: 1 }]]);
  friends = new Set<unknown>([{ name: 'Ada' }]);
  photo = Buffer.from('abc');
  link = new URL('https://example.org/a');
  parent?: Challenge;

  get loud(): string {
    return `${this.title}!`;
  }
}

describe('snapshot', () => {
  it('keeps the class and the values, all the way down', () => {
    const challenge = new Challenge();
    const copy = snapshot(challenge);
    expect(copy).toStrictEqual(challenge);
    expect(copy).toBeInstanceOf(Challenge);
    expect(copy.price).toBeInstanceOf(Money);
    expect(Buffer.isBuffer(copy.photo)).toBe(true);
    expect(copy.loud).toBe('Run!');
  });

  it('is not reached by later changes', () => {
    const challenge = new Challenge();
    const copy = snapshot(challenge);
    challenge.title = 'Swim';
    challenge.startDate.setTime(9);
    challenge.price.cents = 5;
    challenge.tags.push(1);
    (challenge.tags[1] as { deep: number }).deep = 2;
    (challenge.scores.get('x') as { points: number }).points = 2;
    challenge.scores.set('y', 1);
    for (const friend of challenge.friends) (friend as { name: string }).name = 'Bob';
    challenge.friends.clear();
    challenge.photo[0] = 0;
    challenge.link.pathname = '/b';
    expect(copy).toStrictEqual(new Challenge());
  });

  it('knows its copies, the parts of them too, and nothing else', () => {
    const challenge = new Challenge();
    const copy = snapshot(challenge);
    expect([copy, copy.price, copy.tags[1] as object].map(isSnapshot)).toEqual([true, true, true]);
    expect([challenge, challenge.price, Object.assign({}, copy)].map(isSnapshot)).toEqual([false, false, false]);
  });

  it('keeps a circle a circle, and an object that is held twice one', () => {
    const challenge = new Challenge();
    challenge.parent = challenge;
    challenge.tags = [challenge.price];
    const copy = snapshot(challenge);
    expect(copy.parent).toBe(copy);
    expect(copy.tags[0]).toBe(copy.price);
  });

  it('copies lists with holes, and objects without a prototype', () => {
    // oxlint-disable-next-line no-sparse-arrays
    expect(snapshot([1, , 3, ,])).toStrictEqual([1, , 3, ,]);
    const bare = Object.assign(Object.create(null) as object, { a: 1 });
    expect(snapshot(bare)).toStrictEqual(bare);
  });

  it('gives back what is no object, and leaves promises and errors as they are', () => {
    const held = { later: Promise.resolve(1), failed: new Error('no') };
    expect(snapshot(null as unknown as object)).toBeNull();
    expect(snapshot(held).later).toBe(held.later);
    expect(snapshot(held).failed).toBe(held.failed);
  });

  it('copies over a setter of the class without calling it', () => {
    class Guarded {
      set secret(_: unknown) {
        throw new Error('called');
      }
    }
    const guarded = Object.defineProperty(new Guarded(), 'secret', { value: 1, enumerable: true });
    expect(Object.entries(snapshot(guarded))).toEqual([['secret', 1]]);
  });
});
