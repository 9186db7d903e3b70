import { types } from 'node:util';
import { InvalidOptionsError } from '../error/invalid-options.error.js';

/** The pattern without the flags `g` and `y`: with them, a RegExp remembers its last position and would miss every other event. */
export function groupPattern(pattern: RegExp | string): RegExp {
  if (typeof pattern === 'string') return new RegExp(pattern);
  if (types.isRegExp(pattern)) return new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ''));
  throw new InvalidOptionsError('pattern of @GroupHandler', pattern, 'a regular expression, or the source of one');
}

/** The pattern as text that every process can read back. */
export const writePattern = (pattern: RegExp): string => `/${pattern.source}/${pattern.flags}`;

/** Reads what {@link writePattern} wrote. */
export function readPattern(text: string): RegExp {
  const end = text.lastIndexOf('/');
  return new RegExp(text.slice(1, end), text.slice(end + 1));
}
