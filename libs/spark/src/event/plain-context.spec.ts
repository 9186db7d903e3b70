import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ContextCodec } from './context-codec.js';
import type { EntityLookup } from './entity-lookup.js';
import { restorePlain, storePlain, type StoredContext } from './plain-context.js';
import { snapshot } from './snapshot.js';

class Challenge {
  constructor(public id: number | undefined) {}
}
const entities: EntityLookup = {
  classOf: (value) => (value instanceof Challenge ? { entity: 'Challenge', table: 'challenge' } : undefined),
  idOf: ({ id }: { id?: number }) => id?.toString(),
  create: (_, values) => Object.assign(new Challenge(0), values),
};

const names = fc.oneof(
  fc.stringMatching(/^[a-zA-Z][\w$]{0,9}$/),
  fc.constantFrom('constructor', 'toString', '__proto__'),
);
const values = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.double(),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
  fc.nat().map((id) => new Challenge(id)),
  fc.date(),
);
const contexts = fc.dictionary(names, values, { noNullPrototype: true });

describe('a plain context', () => {
  it('is stored as superjson would store it', () => {
    // A second level is what only superjson stores, and leaves the first one as it is.
    const bySuperjson = (context: object) => {
      const { json, meta } = JSON.parse(new ContextCodec(entities).encode([context])!) as StoredContext;
      const own = Object.entries(meta?.values ?? {}).map(([path, how]) => [path.slice(2), how as unknown]);
      return {
        json: (json as unknown[])[0],
        ...(own.length > 0 ? { meta: { values: Object.fromEntries(own), v: 1 } } : {}),
      };
    };
    let stored = 0;
    fc.assert(
      fc.property(contexts, (context) => {
        const plain = storePlain(context, entities);
        if (!plain) return;
        stored++;
        expect(JSON.parse(JSON.stringify(plain))).toEqual(bySuperjson(context));
      }),
      { numRuns: 300 },
    );
    expect(stored).toBeGreaterThan(30);
  });

  it('comes back with its entities and dates', () => {
    const challenge = new Challenge(7);
    const on = new Date(1_700_000_000_123);
    const stored = JSON.parse(JSON.stringify(storePlain({ challenge, n: 1, on }, entities))) as StoredContext;
    expect(restorePlain(stored, ({ id }) => (id === '7' ? challenge : null))).toBe(true);
    expect(stored.json).toEqual({ challenge, n: 1, on });
    expect((stored.json as { challenge: unknown }).challenge).toBe(challenge);
  });

  it.each<[string, unknown]>([
    ['an invalid date', { at: new Date(Number.NaN) }],
    ['nothing as a value', { a: undefined }],
    ['a snapshot', { was: snapshot(new Challenge(1)) }],
    ['an entity without an id', { challenge: new Challenge(undefined) }],
    ['a list', [1]],
    ['an entity as a whole', new Challenge(1)],
    ['a name with a dot', { 'a.b': 1 }],
    ['a second level', { a: { b: 1 } }],
    ['-0', { a: -0 }],
  ])('is not one with %s', (_, context) => {
    expect(storePlain(context, entities)).toBeUndefined();
  });
});
