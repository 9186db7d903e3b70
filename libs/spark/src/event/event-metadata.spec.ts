import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { checkEvent } from './event-check.js';
import { flawInMetadata, readMetadata, writeMetadata } from './event-metadata.js';
import { sparkEvent } from './spark-event.js';

const raise = (): never => {
  throw new Error('no');
};
const loop: Record<string, unknown> = { a: 1 };
loop.list = [{ loop }];
let deep: unknown = 1;
for (let i = 0; i < 101; i++) deep = [deep];
class Actor {
  id = 7;
}

describe('metadata', () => {
  it.each([
    {},
    { tenant: 'acme', attempt: 1.5, isAdmin: false, actor: null, roles: ['a', ['b']], trace: { id: '7', flags: 1 } },
    Object.assign(Object.create(null) as object, { tenant: 'acme' }),
    runInNewContext(`({ list: [{ a: 1 }] })`) as object,
    { text: 'a\0b \ud800 ü 😀', ['__proto__']: 1 },
    { most: 'x'.repeat(4_096 - '{"most":""}'.length) },
  ])('comes back as it was: %#', (metadata) => {
    expect(flawInMetadata(metadata)).toBeUndefined();
    expect(readMetadata(writeMetadata(metadata as never))).toEqual({ ...metadata });
  });

  it('is nothing where there is none', () => {
    expect([writeMetadata(undefined), readMetadata(null)]).toEqual([null, undefined]);
    expect('metadata' in sparkEvent('a', 1, {}, { metadata: undefined })).toBe(false);
  });

  it('leaves out what is undefined', () => {
    expect(writeMetadata({ tenant: undefined, trace: { id: undefined } })).toBe('{"trace":{}}');
  });

  it.each<[unknown, string]>([
    [null, 'metadata is null, not a plain object'],
    ['secret', 'metadata is text, not a plain object'],
    [7, 'metadata is 7, not a plain object'],
    [[1], 'metadata is a list, not a plain object'],
    [new Actor(), 'metadata is an Actor, not a plain object'],
    [new Map(), 'metadata is a Map, not a plain object'],
    [Promise.resolve({}), 'metadata is a Promise, not a plain object'],
    [raise, 'metadata is a function, not a plain object'],
    [{ at: new Date() }, 'metadata.at is a Date, which JSON cannot hold'],
    [{ a: [1, { b: NaN }] }, 'metadata.a[1].b is NaN, which JSON cannot hold'],
    [{ a: -Infinity }, 'metadata.a is -Infinity, which JSON cannot hold'],
    [{ a: 12n }, 'metadata.a is a bigint, which JSON cannot hold'],
    [{ a: Symbol('s') }, 'metadata.a is a symbol, which JSON cannot hold'],
    [{ toJSON: raise }, 'metadata.toJSON is a function, which JSON cannot hold'],
    [{ a: [undefined] }, 'metadata.a[0] is undefined, which JSON cannot hold'],
    // oxlint-disable-next-line no-sparse-arrays
    [{ a: [, 1] }, 'metadata.a[0] is undefined, which JSON cannot hold'],
    [loop, 'metadata.list[0].loop holds itself'],
    [{ deep }, 'metadata.deep' + '[0]'.repeat(99) + ' is more than 100 levels deep'],
    [{ most: 'x'.repeat(4_096) }, 'metadata takes 4107 bytes of JSON'],
    [{ umlauts: 'ü'.repeat(2_048) }, 'metadata takes 4110 bytes of JSON'],
    [{ many: Array.from({ length: 100_000 }, () => 1) }, 'metadata takes more than 4096 bytes of JSON'],
  ])('refuses %#', (metadata, flaw) => {
    const reason = `its ${flaw}. Give it a plain object of at most 4096 bytes of JSON, or leave it out.`;
    expect(checkEvent(sparkEvent('a', 1, {}, { metadata: metadata as never }))).toBe(reason);
    expect(() => writeMetadata(metadata as never)).toThrow(reason);
  });

  it('refuses what cannot be read', () => {
    const metadata = { get tenant() { return raise(); } }; // prettier-ignore
    expect(checkEvent(sparkEvent('a', 1, {}, { metadata }))).toMatch('it cannot be read (no)');
  });
});
