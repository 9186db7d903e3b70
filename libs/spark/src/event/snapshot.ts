import { types } from 'node:util';
import { sharedByCopies } from '../common/shared-by-copies.js';

const snapshots = sharedByCopies('snapshots', () => new WeakSet<object>());

/**
 * Copies an entity, with all its parts, by value. Spark stores the values of a copy in an event's context. Of an entity itself, it
 * stores a reference, and reads the entity again when the event is handled.
 *
 * @param entity the entity to copy
 * @returns a copy of the same class, which does not change when the entity changes
 *
 * @example
 * yield sparkEvent('price_changed', product.id, { product, was: snapshot(product) }, { occurrence: product.version });
 */
export function snapshot<T extends object>(entity: T): T {
  return copyOf(entity, new Map()) as T;
}

/** Whether a value is a copy that {@link snapshot} made, or a part of such a copy. */
export function isSnapshot(value: object): boolean {
  return snapshots.has(value);
}

/** Makes a value from the database count as a snapshot. */
export function asSnapshot<T extends object>(value: T): T {
  snapshots.add(value);
  return value;
}

/** Copies a date, bytes, a URL or a regular expression. Returns undefined for other values. */
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
  // The copy is remembered before it is filled. So a circle stays a circle, and the check of the context refuses it.
  const copy = asSnapshot(emptyLike(value));
  copies.set(value, copy);
  fill(copy, value, (part) => copyOf(part, copies));
  return copy;
}

// These cannot be copied by value. They stay as they are, and the check of the context accepts or refuses them.
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
    // An assignment would call a setter of the class.
    Object.defineProperty(copy, name, { value: copyPart(part), writable: true, enumerable: true, configurable: true });
  }
}
