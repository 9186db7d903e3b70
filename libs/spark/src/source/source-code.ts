import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import type { Source } from './source.js';

const INSPECTED = { depth: 12, maxArrayLength: null, maxStringLength: null, breakLength: Infinity, sorted: true };

/** A hash of values of any kind. Of functions it has only the names. */
export const hashOf = (parts: readonly unknown[]): string =>
  createHash('sha256').update(inspect(parts, INSPECTED)).digest('hex');

/**
 * A hash of what a source itself says: its function, and which rows it reads. A deploy that changes only what the function calls does not
 * change it.
 */
export function codeOf({ metadata, options, text }: Pick<Source, 'metadata' | 'options' | 'text'>): string {
  const { where, relations, withDeleted = false, query } = options;
  const { tablePath, discriminatorValue } = metadata;
  // A date is often that of the boot.
  const rows = inspect([where, relations], INSPECTED).replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'date');
  return hashOf([text, tablePath, discriminatorValue, rows, withDeleted, query && String(query)]);
}
