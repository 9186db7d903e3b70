import type { ObjectLiteral } from 'typeorm';

/** Copies rows of a driver. Returns undefined if a value is of a class that cannot be copied here. */
export function copyRows(rows: readonly ObjectLiteral[]): ObjectLiteral[] | undefined {
  const copies: ObjectLiteral[] = [];
  for (const row of rows) {
    const copy: ObjectLiteral = {};
    for (const name in row) if ((copy[name] = copyOf(row[name])) === UNKNOWN) return undefined;
    copies.push(copy);
  }
  return copies;
}

const UNKNOWN = Symbol('unknown');

function copyOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return typeof value === 'function' ? UNKNOWN : value;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Date.prototype) return new Date(value as Date);
  if (prototype === Buffer.prototype) return Buffer.from(value as Buffer);
  if (prototype === Array.prototype) return copyList(value as unknown[]);
  return prototype === Object.prototype ? copyObject(value) : UNKNOWN;
}

function copyList(list: readonly unknown[]): unknown {
  const copy = list.map(copyOf);
  return copy.includes(UNKNOWN) ? UNKNOWN : copy;
}

function copyObject(value: object): unknown {
  const entries = Object.entries(value).map(([name, part]) => [name, copyOf(part)] as const);
  return entries.some(([, part]) => part === UNKNOWN) ? UNKNOWN : Object.fromEntries(entries);
}
