import { Script } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { SCRIPT } from './script.js';

describe('the module of the browser', () => {
  it('is JavaScript, and names no other host', () => {
    expect(() => new Script(SCRIPT)).not.toThrow();
    expect(SCRIPT).not.toMatch(/https?:|\beval\b|import\b/);
  });
});
