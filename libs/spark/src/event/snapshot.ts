import { types } from 'node:util';
import { sharedByCopies } from '../common/shared-by-copies.js';

const snapshots = sharedByCopies('snapshots', () => new WeakSet<object>());

/**
 * Copies an entity, and all it holds, by value. In an event's context the copy is stored as it is now, where an entity
 * would be stored as a reference and read again when the event is handled.
 *
 * @returns a copy of the same class that later changes of the entity do not reach
 *
 * @example
 * yield sparkEvent('price_changed', product.id, { product, was: snapshot(product) }, { occurrence: product.version });
 */
export function snapshot<T extends object>(entity: T): T {
  return copyOf(entity, new Map()) as T;
}

/** Whether a value is a copy made by {@link snapshot}, or one of the values that such a copy holds. */
export function isSnapshot(value: object): boolean {
  return snapshots.has(value);
}

/** Makes a value a snapshot, as one is that comes back from the database. */
export function asSnapshot<T extends object>(value: T): T {
  snapshots.add(value);
  return value;
}

/** Copies a value that holds no other values (dates, bytes, URLs, regular expressions); undefined for all others. */
export function copyOfLeaf(value: object): object | undefined {
  if (types.isDate(value)) return new Date(value.getTime());
  if (types.isRegExp(value)) return new RegExp(value.source, value.flags);
  if (value instanceof URL) return new URL(value);
  if (Buffer.isBuffer(value)) return Buffer.from(value);
  return types.isTypedArray(value) ? value.slice() : undefined;
}

function copyOf(value: unknown, copies: Map<object, object>): unknown {
  if (typeof value !== 'object' || value === null || isOpaque(value)) return value;
  const known = copies.get(value) ?? copyOfLeaf(value);
  if (known) return known;
  // Remembered before it is filled: a circle stays a circle, for the context's check to refuse.
  const copy = asSnapshot(emptyLike(value));
  copies.set(value, copy);
  fill(copy, value, (part) => copyOf(part, copies));
  return copy;
}

// These have no values that could be copied: they stay what they are, for the context's check to accept or refuse.
function isOpaque(value: object): boolean {
  return value instanceof Error || types.isPromise(value);
}

function emptyLike(value: object): object {
  const prototype: unknown = Object.getPrototypeOf(value);
  const empty = Array.isArray(value) ? [] : types.isMap(value) ? new Map() : types.isSet(value) ? new Set() : {};
  Object.setPrototypeOf(empty, prototype as object | null);
  return empty;
}

function fill(copy: object, value: object, copyPart: (part: unknown) => unknown): void {
  if (types.isMap(value)) for (const [key, part] of value) Map.prototype.set.call(copy, copyPart(key), copyPart(part));
  if (types.isSet(value)) for (const part of value) Set.prototype.add.call(copy, copyPart(part));
  if (Array.isArray(value)) (copy as unknown[]).length = value.length;
  for (const [name, part] of Object.entries(value)) {
    // Defined, not assigned: the class may have a setter of that name.
    Object.defineProperty(copy, name, { value: copyPart(part), writable: true, enumerable: true, configurable: true });
  }
}
