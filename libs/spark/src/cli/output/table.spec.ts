import { describe, expect, it } from 'vitest';
import { jsonLine } from './safe-text.js';
import { detailsOf, firstLine, tableOf } from './table.js';

describe('a table', () => {
  const columns = [
    { head: 'KEY', of: ({ key }: { key: string; n: number }) => key },
    { head: 'N', of: ({ n }: { n: number }) => n },
  ];
  const plain = (text: string) => text;

  it('aligns text to the left and numbers to the right, also beside wide characters', () => {
    const rows = [
      { key: 'a', n: 1 },
      { key: '日本', n: 1_000 },
    ];
    expect(tableOf(columns, rows, plain)).toEqual(['KEY      N', 'a        1', '日本  1000']);
  });

  it('escapes what a terminal acts on, and so does JSON', () => {
    const record = { key: '\x1b[2J\u009b\u202e\n', n: 1 };
    expect(tableOf(columns, [record], plain)[1]).toBe(String.raw`\x1b[2J\x9b\u202e\n  1`);
    expect(jsonLine(record)).toBe(String.raw`{"key":"\u001b[2J\u009b\u202e\n","n":1}`);
    expect(JSON.parse(jsonLine(record))).toEqual(record);
  });

  it('leaves out details without a value, and shows the first line of a long text', () => {
    const at = new Date('2026-06-01T12:00:00Z');
    expect(detailsOf({ key: 'a', until: undefined, at })).toEqual(['key  a', 'at   2026-06-01T12:00:00Z']);
    expect(firstLine('first\nsecond')).toBe('first');
    expect(firstLine('x'.repeat(200))).toHaveLength(80);
  });
});
