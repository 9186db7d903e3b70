import { describe, expect, it } from 'vitest';
import { DiscardDelivery } from '../index.js';
import { jsonOf } from './json.js';

class Challenge {
  id = 7;
  startDate = new Date('2026-06-01T12:00:00Z');
  note: string | undefined;
}

describe('the data of a CloudEvent', () => {
  it.each([
    ['an entity', new Challenge(), { id: 7, startDate: '2026-06-01T12:00:00.000Z' }],
    ['a bigint', { amount: 12345678901234567890n }, { amount: '12345678901234567890' }],
    ['a URL, which has toJSON', { link: new URL('https://a.example/b') }, { link: 'https://a.example/b' }],
    ['an object whose toJSON hides a property', { toJSON: () => ({ shown: 1n }) }, { shown: '1' }],
    ['an object that it holds twice', { a: [1], b: [1] }, { a: [1], b: [1] }],
    ['what is undefined in a list', [1, undefined, 3], [1, null, 3]],
    ['a plain value', 'text', 'text'],
    ['null', null, null],
    ['nothing', undefined, undefined],
  ])('has %s as JSON has it', (_, data, expected) => {
    const json = jsonOf('order_1', data);
    expect(json).toEqual(expected);
    expect(JSON.parse(JSON.stringify({ json })).json).toEqual(expected);
  });

  it('may hold one object in two places', () => {
    const owner = { id: 1 };
    expect(jsonOf('order_1', { a: owner, b: [owner] })).toEqual({ a: { id: 1 }, b: [{ id: 1 }] });
  });

  const circle: { list: object[] } = { list: [] };
  circle.list.push(circle);
  let deep: object = {};
  for (let i = 0; i < 200; i++) deep = { deep };

  it.each([
    ['NaN', { order: { lines: [{ price: NaN }] } }, 'data.order.lines[0].price is NaN'],
    ['an infinity', { a: -Infinity }, 'data.a is -Infinity'],
    ['a Map', { a: new Map() }, 'data.a is a Map'],
    ['a Set', new Set(), 'data is a Set'],
    ['a Buffer', { file: Buffer.from('x') }, 'data.file is binary data'],
    ['a typed array', { file: new Uint8Array(2) }, 'data.file is binary data'],
    ['an invalid Date', { at: new Date(NaN) }, 'data.at is an invalid Date'],
    ['a function', { a: () => 1 }, 'data.a is a function'],
    ['a symbol', { a: Symbol('s') }, 'data.a is a symbol'],
    ['a RegExp', { a: /x/ }, 'data.a is a RegExp'],
    ['an Error', { a: new Error('x') }, 'data.a is an Error'],
    ['a Promise, as lazy relations are', { a: Promise.resolve() }, 'data.a is a Promise'],
    ['a circle', circle, 'data.list[0] is an object that holds itself'],
    ['what is too deep', deep, 'is more than 100 levels deep'],
  ])('refuses %s, and says where it is', (_, data, reason) => {
    const refused = () => jsonOf('order_1', data);
    expect(refused).toThrow(DiscardDelivery);
    expect(refused).toThrow('order_1 cannot be sent: its ');
    expect(refused).toThrow(reason);
  });
});
