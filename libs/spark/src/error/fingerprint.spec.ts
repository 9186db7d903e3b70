import { describe, expect, it } from 'vitest';
import { fingerprintOf } from './fingerprint.js';
import { textOf } from './text-of.js';

const at = (message: string, ...frames: string[]) =>
  fingerprintOf([message, ...frames.map((frame) => `    at ${frame}`)].join('\n'));

describe('a fingerprint of an error', () => {
  it('is 16 hexadecimal digits, and stays what it is: rows hold it', () => {
    expect(at('Error: out of paper', 'Mailer.send (/app/src/mailer.ts:10:5)')).toBe('0aa4b5e4126a66d0');
  });

  it.each([
    ['numbers', 'Order 7 has 3 lines', 'Order 12345 has 41 lines'],
    ['numbers in words', 'order_placed_7 failed in 3ms', 'order_placed_12 failed in 41.5ms'],
    ['a short and a long number', 'order 7', 'order 123456789012345678'],
    ['negative, exponential and grouped ones', 'off by -5', 'off by 1,234.5e+7'],
    ['a number and a hash', 'commit 1234567 is gone', 'commit 3f2a9c1 is gone'],
    ['hexadecimal ones', 'at 0x7ffe12', 'at 0xdeadbeef'],
    ['UUIDs', 'no 7d444840-9dc0-11d1-b245-5ffdce74fad2', 'no 0F0F0F0F-9dc0-41d1-a245-aaaaaaaaaaaa'],
    ['ULIDs and the like', 'no 01ARZ3NDEKTSV4RRFFQ69G5FAV!', 'no 01BX5ZZKBKACTAV9WEVGEMMVRZ!'],
    ['lists of ids', 'missing: 1, 2, 3', 'missing: 7'],
    ['texts in quotes', `no "Ann" in 'a b'`, `no "Bob \\"B\\" Day" in 'O'Brien'`],
    ['a text that begins after an apostrophe', `can't open 'a.txt'`, `can't open 'b c.txt'`],
    ['texts in other quotes', 'no `a`, “b”, «c»', 'no `d e`, “f”, «g»'],
    ['a text that was cut', 'Unexpected token in "<html>', 'Unexpected token in "<body> of 7'],
    ['mail addresses', 'bounced: ann@example.com', 'bounced: bob.b+x@mail.example.co.uk'],
    ['ISO dates', 'late since 2026-03-01T10:00:00.000Z', 'late since 2027-11-30 23:59:59+02:00'],
    ['days', 'late since 2026-03-01', 'late since 3/1/2026, 10:00 AM'],
    [
      'dates as text',
      `late since ${new Date(0).toString()}`,
      'late since Tue May 12 2026 01:02:03 GMT-0700 (Mountain Standard Time)',
    ],
    ['UTC dates', 'late since Thu, 01 Jan 1970 00:00:00 GMT', 'late since Mon, 12 Oct 2026 23:00:00 GMT'],
    ['addresses', 'connect ECONNREFUSED 127.0.0.1:80', 'connect ECONNREFUSED 10.11.12.13:5432'],
    ['spaces and lines', 'a  b\n c', 'a b c'],
    ['JSON', 'got {"id":7,"tags":["a","b"]}', 'got {"id":8,"tags":["c"]}'],
  ])('is the same whatever the values: %s', (_, one, other) => {
    expect(at(`Error: ${one}`)).toBe(at(`Error: ${other}`));
  });

  it.each([
    ['its name', 'TypeError: x', 'RangeError: x'],
    ['what it says', 'Error: out of paper', 'Error: out of ink'],
    ['what caused it', 'TypeError: fetch failed\nCaused by: Error: a', 'TypeError: fetch failed\nCaused by: Error: b'],
    ['a word with an apostrophe', `Error: can't read`, `Error: can't write`],
  ])('differs by %s', (_, one, other) => {
    expect(at(one)).not.toBe(at(other));
  });

  it.each([
    ['another line', 'Mailer.send (/app/src/mailer.ts:99:1)'],
    ['another folder', 'Mailer.send (/home/ann/projects/shop/dist/mailer.ts:10:5)'],
    ['a URL', 'Mailer.send (file:///srv/mailer.ts:10:5)'],
    ['Windows', String.raw`Mailer.send (C:\app (new)\src\mailer.ts:10:5)`],
    ['the compiled file', 'Mailer.send (/app/dist/mailer.js:10:5)'],
    ['a version of the module', 'Mailer.send (file:///app/src/mailer.ts?v=123:10:5)'],
    ['a call that was waited for', 'async Mailer.send (/app/src/mailer.ts:10:5)'],
    ['another name of the method', 'Mailer.send [as deliver] (/app/src/mailer.ts:10:5)'],
  ])('is the same at the same function: %s', (_, frame) => {
    expect(at('Error: x', frame)).toBe(at('Error: x', 'Mailer.send (/app/src/mailer.ts:10:5)'));
  });

  it('goes by the first frame of the application', () => {
    const own = 'Mailer.send (/app/src/mailer.ts:10:5)';
    const others = [
      'Array.map (<anonymous>)',
      'eval (eval at run (/app/src/main.ts:1:1), <anonymous>:1:1)',
      'async Promise.all (index 3)',
      'request (/app/node_modules/axios/lib/axios.js:1:2)',
      String.raw`request (C:\app\node_modules\axios\lib\axios.js:1:2)`,
      'node:events:513:28',
      'process.processTicksAndRejections (node:internal/process/task_queues:95:5)',
    ];
    expect(at('Error: x', ...others, own, 'run (/app/src/main.ts:1:1)')).toBe(at('Error: x', own));
    expect(at('Error: x', ...others)).toBe(at('Error: x'));
    expect(at('Error: x', '/app/src/mailer.ts:10:5')).not.toBe(at('Error: x', '/app/src/main.ts:10:5'));
    expect(at('Error: x', 'Mailer.open (/app/src/mailer.ts:10:5)')).not.toBe(at('Error: x', own));
  });

  it('is the same for what one place throws, whatever its ids, and however many errors it holds', () => {
    const thrown = (id: number) =>
      new Error(`Order ${id} was not sent to "customer ${id}"`, {
        cause: new AggregateError(Array.from({ length: id }, (_, i) => new Error(`address ${i}`))),
      });
    expect(fingerprintOf(textOf(thrown(1)))).toBe(fingerprintOf(textOf(thrown(5))));
    expect(fingerprintOf(textOf(thrown(1)))).not.toBe(fingerprintOf(textOf(new Error('Order 1 was not sent'))));
  });

  it('is there for whatever else is thrown', () => {
    for (const thrown of [undefined, null, 7, 'a text', { id: 7 }, Symbol('x'), Object.create(null), new Error('')])
      expect(fingerprintOf(textOf(thrown))).toMatch(/^[0-9a-f]{16}$/);
    expect(fingerprintOf(textOf({ id: 7 }))).toBe(fingerprintOf(textOf({ id: 8 })));
    expect(fingerprintOf('')).toMatch(/^[0-9a-f]{16}$/);
  });

  it.each([
    'x',
    '1',
    "'",
    '"',
    '`',
    '\\',
    'a.',
    '@',
    'a@',
    "'a ",
    ' at (',
    '\n    at (',
    '\n',
    '#, ',
    '0x',
    '1:11',
    '1-',
  ])('takes no time for five million of %j', (part) => {
    const text = part.repeat(5_000_000 / part.length);
    const before = process.cpuUsage();
    expect(fingerprintOf(text)).toMatch(/^[0-9a-f]{16}$/);
    // In microseconds of this process, however busy the machine is.
    expect(process.cpuUsage(before).user).toBeLessThan(500_000);
  });
});
