import { expect, it } from 'vitest';
import { ErrorTypes } from './error-types.js';

class CardRefused extends Error {}

it('is the name of the class, never the message', () => {
  const types = new ErrorTypes();
  expect(types.of(new CardRefused('of Ada'))).toBe('CardRefused');
  expect(types.of(new RangeError('7'))).toBe('RangeError');
  expect(types.of(Object.assign(new Error('x'), { name: 'of order 7' }))).toBe('Error');
});

it.each(['out of paper', undefined, null, { name: 'Refused' }, new (class extends Error {})('x')])(
  'is _OTHER for %s',
  (thrown) => {
    expect(new ErrorTypes().of(thrown)).toBe('_OTHER');
  },
);

it('has few values, however many classes there are', () => {
  const types = new ErrorTypes();
  const classes = Array.from({ length: 200 }, (_, i) => {
    const type = class extends Error {};
    Object.defineProperty(type, 'name', { value: `Of${i}` });
    return type;
  });
  expect(new Set(classes.map((type) => types.of(new type('x')))).size).toBe(51);
  expect(types.of(new classes[0]!('x'))).toBe('Of0');
});
