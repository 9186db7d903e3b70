import { describe, expect, it } from 'vitest';
import { fieldsOf, lineOf, linesOf, shown, textOf } from './text-of.js';

const hostile = new Proxy(
  {},
  {
    get: () => {
      throw new Error('do not look');
    },
    getPrototypeOf: () => {
      throw new Error('do not look');
    },
    has: () => {
      throw new Error('do not look');
    },
  },
);

const revoked = Proxy.revocable({}, {});
revoked.revoke();

class Guarded extends Error {
  override get stack(): string {
    throw new Error('no stack');
  }
  override get message(): string {
    throw new Error('no message');
  }
  override get cause(): unknown {
    throw new Error('no cause');
  }
  get errors(): unknown {
    throw new Error('no errors');
  }
}

const circle = new Error('a circle');
circle.cause = new Error('its other half', { cause: circle });

const unprintable = new Error('x');
Object.defineProperty(unprintable, 'message', { value: { toString: () => 7 } });

const anything: Record<string, unknown> = {
  undefined,
  null: null,
  'a symbol': Symbol('x'),
  'a bigint': 7n,
  'a function': () => 1,
  'an object without prototype': Object.create(null),
  'a Proxy that throws when it is looked at': hostile,
  'a revoked Proxy': revoked.proxy,
  'an error whose getters throw': new Guarded(),
  'an error that is its own cause': circle,
  'an error whose message is no text': unprintable,
  'an error whose errors are a Proxy': Object.assign(new Error('x'), { errors: hostile }),
  'an aggregate of a thousand errors': new AggregateError(Array.from({ length: 1_000 }, (_, i) => new Error(`${i}`))),
  'a message of 5,000,000 characters': new Error('x'.repeat(5_000_000)),
  'text of 5,000,000 characters': 'x'.repeat(5_000_000),
  'half of a surrogate pair': new Error('a\ud800b'),
};

describe('what was thrown, as text', () => {
  it.each(Object.keys(anything))('never throws and is bounded for %s', (what) => {
    const thrown = anything[what];
    expect(textOf(thrown)).toSatisfy((text: string) => text.length > 0 && text.length <= 10_000);
    expect(textOf(thrown).isWellFormed()).toBe(true);
    expect(lineOf(thrown)).toSatisfy((text: string) => text.length > 0 && text.length <= 1_000);
    expect(lineOf(thrown)).not.toContain('\n');
    expect(linesOf(thrown)).toSatisfy((text: string) => text.length > 0 && text.length <= 4_000);
    expect(shown(thrown)).toSatisfy((text: string) => text.length > 0 && text.length <= 300);
  });

  it('tells the causes of an error, and the errors of an aggregate', () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED'), { name: 'SocketError' });
    const thrown = new Error('the mail was not sent', {
      cause: new AggregateError([refused, 'no route'], 'all addresses failed', { cause: new Error('the root') }),
    });
    expect(lineOf(thrown)).toBe(
      'Error: the mail was not sent; caused by: AggregateError: all addresses failed; caused by: Error: the root; ' +
        'one of its errors: SocketError: connect ECONNREFUSED; one of its errors: no route',
    );
    for (const text of [textOf(thrown), linesOf(thrown)]) {
      expect(text).toMatch(/^Error: the mail was not sent\n +at .*text-of\.spec/);
      expect(text).toMatch(/\nCaused by: AggregateError: all addresses failed\n +at /);
      expect(text).toMatch(/\nOne of its errors: no route$/);
    }
  });

  it('keeps the causes of an error whose own message is huge', () => {
    const thrown = new Error('x'.repeat(5_000_000), { cause: new Error('the disk is full') });
    for (const text of [textOf(thrown), linesOf(thrown), lineOf(thrown)])
      expect(text).toMatch(/caused by: Error: the disk is full/i);
  });

  it('forges no log line and sends no terminal anything', () => {
    const thrown = new Error('a\n[Nest] ERROR forged\r\u001b[2J\u009b1m\u202e\u2028\0', { cause: 'b\nc' });
    expect(lineOf(thrown)).toBe(
      String.raw`Error: a\n[Nest] ERROR forged\r\x1b[2J\x9b1m\u202e\u2028\x00; caused by: b\nc`,
    );
    const lines = linesOf(thrown).split('\n');
    expect(lines[0]).toContain('forged');
    expect(lines.slice(1, -1).every((line) => /^\s+at /.test(line))).toBe(true);
    expect(shown('a\nb\u001b')).toBe(String.raw`a\nb\x1b`);
  });

  it('takes a line of a message for no line of the stack', () => {
    const thrown = new Error('first\n    at forged (file.js:1:1)');
    expect(linesOf(thrown).split('\n')[1]).not.toContain('forged');
  });

  it('keeps no NUL for a row', () => {
    expect(textOf(new Error('a\0b'))).toContain(String.raw`a\0b`);
    expect(textOf('a\0b')).toBe(String.raw`a\0b`);
  });

  it('becomes an object for machines, with its causes, and without what an error holds besides', () => {
    const cause = Object.assign(new Error('connect'), { code: 'ECONNREFUSED', parameters: ['secret'] });
    const thrown = new TypeError('not sent', { cause: new AggregateError([cause, 'no route'], 'all failed') });
    expect(fieldsOf(thrown)).toEqual({
      name: 'TypeError',
      message: 'not sent',
      stack: expect.stringMatching(/^ +at .*text-of\.spec/),
      causes: [
        { name: 'AggregateError', message: 'all failed', stack: expect.any(String) },
        { name: 'Error', message: 'connect', code: 'ECONNREFUSED', stack: expect.any(String) },
        { message: 'no route' },
      ],
    });
    expect(fieldsOf(undefined)).toEqual({ message: 'undefined' });
  });

  it('is bounded for machines, too, however large it is, and never throws', () => {
    const ring = new Error('x'.repeat(5_000_000));
    ring.cause = Object.assign(
      new AggregateError(
        Array(1_000)
          .fill(0)
          .map(() => new Error('y'.repeat(9_999))),
      ),
      { cause: ring },
    );
    expect(JSON.stringify(fieldsOf(ring)).length).toBeLessThan(60_000);
    expect(fieldsOf(ring).causes!.length).toBeLessThan(12);
    const guarded = new Proxy(new Error('no'), {
      get: () => {
        throw new Error('do not read');
      },
    });
    expect(fieldsOf(guarded).message).toEqual(expect.any(String));
  });
});
