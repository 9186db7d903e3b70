import { Script } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { STYLESHEET } from '../html/stylesheet.js';
import { SCRIPT } from './script.js';

describe('the module of the browser', () => {
  it('is JavaScript, and names no other host', () => {
    expect(() => new Script(SCRIPT)).not.toThrow();
    expect(SCRIPT).not.toMatch(/https?:|\beval\b|import\b/);
  });

  it('has at most 40 KB together with the stylesheet, as browsers load them', () => {
    expect(gzipSync(SCRIPT).length + gzipSync(STYLESHEET).length).toBeLessThan(40 * 1024);
  });
});
