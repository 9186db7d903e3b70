import { isDeepStrictEqual } from 'node:util';
import { runInNewContext } from 'node:vm';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ContextError } from '../error/context.error.js';
import { ContextCodec } from './context-codec.js';
import type { EntityLookup } from './entity-lookup.js';
import { isSnapshot, snapshot } from './snapshot.js';

class Address {
  constructor(public city: string) {}
}
class Donation {
  constructor(
    public id: number | undefined,
    public amount = 1n,
    public challenge?: Challenge,
  ) {}
}
class Challenge {
  endDate = new Date(1_700_000_000_123);
  address?: Address;
  constructor(
    public id: number | undefined,
    public donations: Donation[] = [],
  ) {}
}
class Money {
  cents = 1;
}

const classes: Record<string, new (id: never) => object> = { Challenge, Donation, Address };
const entities: EntityLookup = {
  classOf: (value) => {
    const entity = Object.keys(classes).find((name) => classes[name] === value.constructor);
    return entity === undefined ? undefined : { entity, table: entity.toLowerCase() };
  },
  idOf: ({ id }: { id?: number }) => id?.toString(),
  create: ({ entity }, values) => {
    if (!classes[entity]) throw new Error(`no entity ${entity}`);
    return Object.assign(Object.create(classes[entity].prototype as object) as object, values);
  },
};
const codec = new ContextCodec(entities);
const startingWith = (reason: string): RegExp => new RegExp(`^${reason.replace(/\W/g, '\\$&')}`);
const gone = (): null => null;
const roundTrip = (context: unknown, resolve: (ref: { id: string }) => object | null = gone): any =>
  codec.decode(codec.encode(context), resolve);

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.constantFrom(0, 0xd800, 0xdc00, 0x2e, 0x5c)))
    .map((units) => String.fromCharCode(...units)),
);
const reserved = ['__proto__', 'constructor', 'prototype'];
const name = fc
  .oneof(text, fc.constantFrom('', '0', 'toString', 'hasOwnProperty', 'a.b', 'a\\', 'json', 'meta'))
  .filter((key) => !reserved.includes(key));
const { value: anyContext } = fc.letrec((tie) => ({
  leaf: fc.oneof(
    text,
    fc.double(),
    fc.bigInt(),
    fc.date({ noInvalidDate: true }),
    fc.constantFrom<unknown>(
      undefined,
      null,
      true,
      false,
      NaN,
      -0,
      0,
      Infinity,
      -Infinity,
      5n,
      /a\/b/gi,
      new URL('https://example.org/?a=b'),
    ),
    fc.oneof(
      fc.uint8Array(),
      fc.float64Array(),
      fc.float32Array(),
      fc.bigInt64Array(),
      fc.uint16Array(),
      fc.uint8ClampedArray(),
    ),
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  ),
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    tie('leaf'),
    fc.array(tie('value')),
    fc.dictionary(name, tie('value'), { noNullPrototype: true }),
    fc.array(fc.tuple(tie('value'), tie('value'))).map((entries) => new Map(entries)),
    fc.array(tie('value')).map((items) => new Set(items)),
  ),
}));

describe('ContextCodec', () => {
  it('gives back every value as it was, through text that every database takes', () => {
    fc.assert(
      fc.property(anyContext, (context) => {
        const stored = codec.encode(context);
        expect(stored ?? '').not.toMatch(/\0|\p{Surrogate}/u);
        expect(isDeepStrictEqual(codec.decode(stored, gone), context)).toBe(true);
        expect(codec.references(stored)).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it('tells null from nothing', () => {
    expect(codec.encode(undefined)).toBeNull();
    expect(roundTrip(undefined)).toBeUndefined();
    expect(roundTrip(null)).toBeNull();
    expect(codec.references(null)).toEqual([]);
  });

  it('keeps equal bigints and NaNs apart in maps and sets', () => {
    const context = {
      a: NaN,
      m: new Map<unknown, unknown>([
        [NaN, 1],
        [5n, NaN],
      ]),
      s: new Set([5n, NaN, 6n]),
    };
    const back = roundTrip(context);
    expect(isDeepStrictEqual(back, context)).toBe(true);
    expect([...back.s]).toEqual([5n, NaN, 6n]);
  });

  it('gives back errors with name, message and cause', () => {
    const { failure } = roundTrip({ failure: new TypeError('no', { cause: { when: new Date(5), left: 3n } }) });
    expect(failure).toBeInstanceOf(Error);
    expect(failure).toMatchObject({ name: 'TypeError', message: 'no', cause: { when: new Date(5), left: 3n } });
  });

  it('gives back an invalid date as one', () => {
    expect(roundTrip([new Date(NaN)])[0].getTime()).toBeNaN();
  });

  it('takes an object that is held twice, which comes back as two equal ones', () => {
    const place = { city: 'Rome' };
    expect(roundTrip({ from: place, to: [place] })).toEqual({ from: place, to: [place] });
  });

  it('takes plain values of another realm', () => {
    const foreign = runInNewContext('({ a: [1], m: new Map([[1, new Date(5)]]), s: new Set([/x/g]) })') as object;
    expect(roundTrip(foreign)).toStrictEqual({ a: [1], m: new Map([[1, new Date(5)]]), s: new Set([/x/g]) });
  });

  describe('stores an entity as a reference', () => {
    const challenge = new Challenge(7, [new Donation(1)]);
    const donation = new Donation(9, 3n, challenge);
    const find = ({ id }: { id: string }): object | null => (id === '7' ? challenge : id === '9' ? donation : null);

    it('wherever it is held', () => {
      const context = {
        challenge,
        all: [donation, challenge],
        m: new Map<unknown, unknown>([
          ['x', donation],
          [challenge, 1],
        ]),
        s: new Set([donation]),
      };
      const back = roundTrip(context, find);
      expect(back.challenge).toBe(challenge);
      expect(back.all[0]).toBe(donation);
      expect(back.all[1]).toBe(challenge);
      expect(back.m.get('x')).toBe(donation);
      expect(back.m.get(challenge)).toBe(1);
      expect([...back.s][0]).toBe(donation);
    });

    it('even where it is the whole context', () => {
      expect(roundTrip(challenge, find)).toBe(challenge);
    });

    it('and lists each reference once', () => {
      const stored = codec.encode({ challenge, again: [challenge], cause: new Error('no', { cause: donation }) });
      expect(codec.references(stored)).toEqual([
        { entity: 'Challenge', table: 'challenge', id: '7' },
        { entity: 'Donation', table: 'donation', id: '9' },
      ]);
      expect(stored).not.toContain('amount');
    });

    it('and reads one that has no table, as an older release stored it', () => {
      const plain =
        '{"json":{"challenge":{"entity":"Challenge","id":"7"}},"meta":{"values":{"challenge":[["custom","entity"]]},"v":1}}';
      const nested =
        '{"json":[[{"entity":"Challenge","id":"7"}]],"meta":{"values":{"0.0":[["custom","entity"]]},"v":1}}';
      expect(codec.decode(plain, find)).toEqual({ challenge });
      expect(codec.decode(nested, find)).toEqual([[challenge]]);
      expect(codec.references(plain)).toEqual([{ entity: 'Challenge', id: '7' }]);
      expect(codec.references(nested)).toEqual([{ entity: 'Challenge', id: '7' }]);
    });

    it('which is null when the entity is gone', () => {
      expect(roundTrip({ challenge, rest: 1 })).toEqual({ challenge: null, rest: 1 });
    });

    it('though it holds what could not be stored', () => {
      const odd = Object.assign(new Challenge(7), { call: () => 1, self: {} });
      odd.self = odd;
      expect(roundTrip({ odd }, find).odd).toBe(challenge);
    });
  });

  describe('stores a snapshot by value', () => {
    it('with its class, its entities and its embedded parts', () => {
      const challenge = new Challenge(7, [new Donation(1, 5n), new Donation(undefined)]);
      challenge.address = new Address('Rome');
      const stored = codec.encode({ was: snapshot(challenge) });
      challenge.endDate.setTime(0);
      challenge.donations[0]!.amount = 0n;
      const { was } = codec.decode(stored, gone) as { was: Challenge };
      const expected = new Challenge(7, [new Donation(1, 5n), new Donation(undefined)]);
      expected.address = new Address('Rome');
      expect(was).toStrictEqual(expected);
      expect(codec.references(stored)).toEqual([]);
    });

    it('beside the entity itself, and again when it is stored again', () => {
      const challenge = new Challenge(7);
      const back = roundTrip({ challenge, was: snapshot(challenge) }, () => challenge);
      expect(back.challenge).toBe(challenge);
      expect(back.was).not.toBe(challenge);
      expect(isSnapshot(back.was)).toBe(true);
      expect(codec.references(codec.encode(back))).toEqual([{ entity: 'Challenge', table: 'challenge', id: '7' }]);
      expect(roundTrip(back).was).toStrictEqual(challenge);
    });

    it('with references to the entities that were put in later', () => {
      const was = snapshot(new Challenge(7));
      was.donations.push(new Donation(9));
      const stored = codec.encode({ was });
      expect(codec.references(stored)).toEqual([{ entity: 'Donation', table: 'donation', id: '9' }]);
      expect(codec.decode(stored, () => new Donation(9, 2n))).toMatchObject({ was: { donations: [{ amount: 2n }] } });
    });
  });

  describe('refuses', () => {
    const circle: Record<string, unknown> = { inner: {} };
    circle.inner = { circle };
    const ring = snapshot(Object.assign(new Challenge(7), { donations: [new Donation(1)] }));
    ring.donations[0]!.challenge = ring;
    const deep = (levels: number): unknown => (levels === 0 ? 1 : [deep(levels - 1)]);
    const wide = Array.from({ length: 40 }).reduce<unknown>((held) => [held, held], 1);
    class Tags extends Array<string> {}
    class Scores extends Map {}

    it.each<[string, unknown, string | RegExp]>([
      ['a function', { a: { b: () => 1 } }, 'context.a.b is a function, which cannot be stored'],
      ['a class', { Money }, 'context.Money is a function'],
      ['a symbol', [1, Symbol('s')], 'context[1] is a symbol, which cannot be stored'],
      ['a symbol as a whole', Symbol('s'), 'context is a symbol'],
      ['a function as a key', new Map([[() => 1, 1]]), 'context.keys()[0] is a function'],
      ['a function in a Map', { m: new Map([[1, () => 1]]) }, 'context.m.values()[0] is a function'],
      ['a function in a Set', { s: new Set([() => 1]) }, 'context.s.values()[0] is a function'],
      ['a function as a cause', { e: new Error('no', { cause: () => 1 }) }, 'context.e.cause is a function'],
      ['an odd name', { 'a "b': { 0: () => 1 } }, 'context["a \\"b"]["0"] is a function'],
      ['a circle', circle, 'context.inner.circle is circular: it holds itself'],
      ['a circle in a snapshot', { ring }, 'context.ring.donations[0].challenge is circular'],
      ['an entity without an id', { all: [new Challenge(undefined)] }, 'context.all[0] is a Challenge without an id'],
      [
        'an entity of no id in a snapshot',
        { was: Object.assign(snapshot(new Challenge(1)), { donations: [new Donation(undefined)] }) },
        'context.was.donations[0] is a Donation without an id',
      ],
      ['another class', { price: new Money() }, 'context.price is a Money, which is not an entity'],
      [
        'another class in a snapshot',
        { was: snapshot(Object.assign(new Challenge(1), { price: new Money() })) },
        'context.was.price is a Money, which is not an entity',
      ],
      ['a snapshot of another class', snapshot(new Money()), 'context is a Money, which is not an entity'],
      ['a class that extends a list', { tags: Tags.from(['a']) }, 'context.tags is a Tags, which is not an entity'],
      ['a class that extends Map', { scores: new Scores() }, 'context.scores is a Scores, which is not an entity'],
      ['a snapshot of a class that extends Map', snapshot({ scores: new Scores() }), 'context.scores is a Scores'],
      ['a promise', { later: Promise.resolve(1) }, 'context.later is a Promise, which cannot be stored. Await it'],
      ['a WeakMap', { weak: new WeakMap() }, 'context.weak is a WeakMap, which is not an entity'],
      ['a boxed string', { boxed: new String('a') }, 'context.boxed is a String, which is not an entity'],
      ['an ArrayBuffer', { raw: new ArrayBuffer(1) }, 'context.raw is an ArrayBuffer, which is not an entity'],
      [
        'the name __proto__',
        JSON.parse('{"a":{"__proto__":1}}'),
        'context.a.__proto__ cannot be stored under that name',
      ],
      ['the name constructor', { constructor: 'Ferrari' }, 'context.constructor cannot be stored under that name'],
      ['the name prototype', { prototype: 1 }, 'context.prototype cannot be stored under that name'],
      [
        'what throws when it is read',
        {
          a: {
            get b() {
              throw new Error('closed');
            },
          },
        },
        'context.a cannot be read (closed)',
      ],
      ['more than 200 levels', deep(201), /^context(\[0\])+… is nested deeper than 200 levels/],
      ['more values than fit', { wide }, /^context\.wide(\[\d\])+ is too large to be stored with an event/],
      ['more text than fits', { long: 'x'.repeat(1_000_000) }, 'context is too large to be stored with an event'],
    ])('%s', (_, context, reason) => {
      expect(() => codec.encode(context)).toThrow(ContextError);
      expect(() => codec.encode(context)).toThrow(typeof reason === 'string' ? startingWith(reason) : reason);
    });

    it('nothing that just fits', () => {
      expect(roundTrip(deep(200))).toEqual(deep(200));
      expect(roundTrip('x'.repeat(999_000))).toHaveLength(999_000);
    });

    it.each([
      ['no JSON', 'hello'],
      ['cut JSON', '{"json":{"a'],
      ['a number', '5'],
      ['null', 'null'],
      ['other JSON', '{"a":1}'],
      ['an unknown type', '{"json":{"a":1},"meta":{"values":{"a":[["custom","decimal"]]},"v":1}}'],
      ['an unknown annotation', '{"json":{"a":1},"meta":{"values":{"a":["moment"]},"v":1}}'],
      ['a reference without an id', '{"json":{"entity":"Challenge"},"meta":{"values":[["custom","entity"]],"v":1}}'],
      ['a polluted path', '{"json":{"a":1},"meta":{"values":{"__proto__.a":["Date"]},"v":1}}'],
    ])('to read %s', (_, stored) => {
      expect(() => codec.references(stored)).toThrow(ContextError);
      expect(() => codec.decode(stored, gone)).toThrow(/^The stored context cannot be read \(.+\)\. Was it written by/);
    });

    it('to read bytes of an unknown type, and names it', () => {
      const stored = codec.encode(new Uint8Array(1))?.replace('Uint8Array', 'Float16Array') ?? '';
      expect(() => codec.decode(stored, gone)).toThrow('(bytes of the unknown type Float16Array)');
    });

    it('to read a snapshot of a class that is gone', () => {
      const stored = codec.encode(snapshot(new Challenge(7)))?.replace('Challenge', 'Contest') ?? '';
      expect(() => codec.decode(stored, gone)).toThrow('cannot be read (no entity Contest)');
    });
  });
});
