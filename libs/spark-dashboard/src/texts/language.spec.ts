import { describe, expect, it } from 'vitest';
import { textsFor } from './language.js';

describe('the language of pages', () => {
  it.each([
    [undefined, 'en'],
    ['', 'en'],
    ['de', 'de'],
    ['de-CH, fr;q=0.9', 'de'],
    ['fr, de;q=0.5, en;q=0.7', 'en'],
    ['en;q=0.5, DE;q=0.8', 'de'],
    ['de;q=0, en', 'en'],
    ['fr', 'en'],
    ['*;q=x,;;', 'en'],
  ])('%j: %s', (accepted, language) => {
    expect(textsFor(accepted).language).toBe(language);
  });
});
