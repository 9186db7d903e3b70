import { describe, expect, it } from 'vitest';
import { ContextError } from '../error/context.error.js';
import { checkContext, parseContext } from './context-schema.js';
import { defineEvent } from './event-definition.js';
import { sparkEvent } from './spark-event.js';
import type { SchemaIssue, StandardSchema } from './standard-schema.js';

const schemaOf = (validate: StandardSchema['~standard']['validate']): StandardSchema => ({
  '~standard': { version: 1, vendor: 'test', validate },
});
const failing = (...issues: SchemaIssue[]) => schemaOf(() => ({ issues }));
const saidOf = (schema: StandardSchema, context: unknown): string => {
  try {
    parseContext(schema, context);
  } catch (error) {
    expect(error).toBeInstanceOf(ContextError);
    return (error as Error).message;
  }
  throw new Error('it passed');
};

describe('the check of a context by its schema', () => {
  it('returns the output', () => {
    expect(
      parseContext(
        schemaOf((value) => ({ value: Number(value) })),
        '5',
      ),
    ).toBe(5);
  });

  it('names the path and the message of each issue, five at most', () => {
    const schema = failing(
      { message: 'Required', path: ['challenge', 'title'] },
      { message: 'Too small', path: [{ key: 'donations' }, { key: 0 }, 'the amount'] },
      { message: 'Wrong' },
    );
    expect(saidOf(schema, {})).toBe(
      'its context does not pass its schema: context.challenge.title: Required; ' +
        'context.donations[0]["the amount"]: Too small; context: Wrong',
    );
    const many = failing(...Array.from({ length: 8 }, (_, i) => ({ message: 'no', path: [i] })));
    expect(saidOf(many, [])).toMatch(/context\[4\]: no; and 3 more$/);
  });

  it.each<[unknown, string, string]>([
    ['bob@example.org', 'Received "bob@example.org"', 'Received "…"'],
    [' Bob@example.org ', 'got bob@example.org, which is odd', 'got …, which is odd'],
    ['a', 'Invalid: "a"', 'Invalid: "…"'],
    ['(.*)', 'not (.*) please', 'not … please'],
    [3, 'at least 30, but 3', 'at least 30, but …'],
    ['', 'Empty', 'Empty'],
    [undefined, 'Required', 'Required'],
  ])('replaces the value %j in a message', (value, message, shown) => {
    const told = (context: unknown, path: SchemaIssue['path']) => saidOf(failing({ message, path }), context);
    expect(told({ list: [value] }, ['list', 0])).toMatch(`context.list[0]: ${shown}`);
    expect(told(new Map([['a', value]]), [{ key: 'a' }])).toMatch(`context.a: ${shown}`);
  });

  it('cuts long messages, and reads no path that cannot be read', () => {
    expect(saidOf(failing({ message: 'x'.repeat(1_000) }), {}).length).toBeLessThan(300);
    const hostile = new Proxy({}, { get: () => raise() });
    expect(saidOf(failing({ message: 'no', path: ['a', Symbol('b')] }), hostile)).toMatch('context.a["Symbol(b)"]: no');
  });

  it('refuses a schema that waits, whether it would pass or not', async () => {
    for (const validate of [async () => ({ value: 1 }), () => Promise.reject(new Error('late'))])
      expect(saidOf(schemaOf(validate), {})).toMatch('the schema of its context is asynchronous');
    await new Promise(setImmediate);
  });

  it('says what a schema throws', () => {
    expect(saidOf(schemaOf(raise), {})).toBe('the schema of its context threw an error (no)');
  });

  it('checks events of definitions with a schema, and no others', () => {
    const strict = defineEvent('strict', { schema: failing({ message: 'no' }) });
    expect(() => checkContext(strict(1, {}))).toThrow('context: no');
    expect(() => checkContext(sparkEvent('strict', 1, {}))).not.toThrow();
    expect(() => checkContext(defineEvent('strict')(1))).not.toThrow();
  });
});

function raise(): never {
  throw new Error('no');
}
