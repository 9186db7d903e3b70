import { ContextError } from '../error/context.error.js';
import { got } from '../error/wording.js';

/** A value that JSON can hold. */
export type JsonValue =
  string | number | boolean | null | readonly JsonValue[] | { readonly [name: string]: JsonValue | undefined };

/**
 * Plain data beside an event, such as its actor, its tenant or its trace. A property that is undefined is left out.
 *
 * @example
 * sparkEvent('order_paid', order.id, { order }, { metadata: { tenant: 'acme', traceparent } })
 */
export type EventMetadata = { readonly [name: string]: JsonValue | undefined };

const MOST_BYTES = 4_096;
const DEEPEST = 100;

export const METADATA_ADVICE = `Give it a plain object of at most ${MOST_BYTES} bytes of JSON, or leave it out.`;

/** Returns why metadata cannot be stored, as the end of a sentence; undefined if it can. Throws what getters of the metadata throw. */
export function flawInMetadata(metadata: unknown): string | undefined {
  if (metadata === undefined) return undefined;
  if (!isPlain(metadata)) return `metadata is ${kindOf(metadata)}, not a plain object`;
  const flaw = flawIn(metadata, 'metadata', { ancestors: [], values: 0 });
  if (flaw !== undefined) return flaw;
  const size = Buffer.byteLength(JSON.stringify(metadata));
  return size > MOST_BYTES ? `metadata takes ${size} bytes of JSON` : undefined;
}

/** Encodes metadata for the database. Throws ContextError if it cannot be stored. */
export function writeMetadata(metadata: EventMetadata | undefined): string | null {
  if (metadata === undefined) return null;
  const flaw = flawInMetadata(metadata);
  if (flaw !== undefined) throw new ContextError(`its ${flaw}. ${METADATA_ADVICE}`);
  return JSON.stringify(metadata);
}

/** Decodes metadata of the database. */
export function readMetadata(text: string | null): EventMetadata | undefined {
  return text === null ? undefined : (JSON.parse(text) as EventMetadata);
}

const LONGEST_PARTITION = 100;

/** The partition of an event: the text of a field of its metadata; '' if it has no such field. Of a long text, the first part counts. */
export function partitionOf(metadata: string | null, field: string | undefined): string {
  if (field === undefined || metadata === null) return '';
  const fields = readMetadata(metadata)!;
  const value = (Object.hasOwn(fields, field) ? fields[field] : undefined) ?? '';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  // PostgreSQL cannot store NUL.
  return Array.from(text.replaceAll('\0', ' ')).slice(0, LONGEST_PARTITION).join('');
}

/** Merges metadata. Later properties override earlier ones, except undefined ones. */
export function mergedMetadata(...parts: readonly (EventMetadata | undefined)[]): EventMetadata {
  const given = parts.flatMap((part) => Object.entries(part ?? {}));
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

/** The progress of a check. */
interface Walk {
  readonly ancestors: object[];
  /** How many values it has checked. Each takes at least a byte of JSON. */
  values: number;
}

function flawIn(value: unknown, path: string, walk: Walk): string | undefined {
  if (++walk.values > MOST_BYTES) return `metadata takes more than ${MOST_BYTES} bytes of JSON`;
  if (value === null || typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value))
    return undefined;
  if (!Array.isArray(value) && !isPlain(value)) return `${path} is ${kindOf(value)}, which JSON cannot hold`;
  if (walk.ancestors.includes(value)) return `${path} holds itself`;
  if (walk.ancestors.length === DEEPEST) return `${path} is more than ${DEEPEST} levels deep`;
  walk.ancestors.push(value);
  try {
    // Array.from turns a hole in a list into undefined.
    const parts = Array.isArray(value)
      ? Array.from(value, (part, i) => [`${path}[${i}]`, part] as const)
      : Object.entries(value).flatMap(([name, part]) =>
          part === undefined ? [] : [[`${path}.${name}`, part] as const],
        );
    for (const [place, part] of parts) {
      const flaw = flawIn(part, place, walk);
      if (flaw !== undefined) return flaw;
    }
    return undefined;
  } finally {
    walk.ancestors.pop();
  }
}

// Plain objects of another realm count, too. They have another Object.prototype.
function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

// The message does not contain the value, because it may be personal data.
function kindOf(value: unknown): string {
  if (typeof value === 'string') return 'text';
  return typeof value === 'bigint' ? 'a bigint' : got(value);
}
