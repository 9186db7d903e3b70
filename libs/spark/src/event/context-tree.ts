import { types } from 'node:util';
import { ContextError } from '../error/context.error.js';
import { classOf, messageOf, withArticle } from '../error/wording.js';
import type { ClassRef, EntityLookup } from './entity-lookup.js';
import { copyOfLeaf, isSnapshot } from './snapshot.js';

const DEEPEST = 200;
// superjson refuses these names, to prevent prototype pollution.
const RESERVED = ['__proto__', 'constructor', 'prototype'];

/** Stands in the tree for an entity that is stored as a reference. */
export class Reference {
  constructor(
    readonly type: ClassRef,
    readonly id: string,
  ) {}
}

/** Stands in the tree for an entity that is stored by value. */
export class StoredValues {
  constructor(
    readonly type: ClassRef,
    readonly values: object,
  ) {}
}

/**
 * Copies one context into a tree of plain values, known types, {@link Reference}s and {@link StoredValues}. Throws a ContextError
 * that names the first part that would not come back as it was. superjson alone would drop such a part silently.
 */
export class ContextTree {
  private readonly ancestors = new Set<object>();
  private size = 0;

  /** @param mostValues how many values a context may hold, over all levels */
  constructor(
    private readonly entities: EntityLookup,
    private readonly mostValues: number,
  ) {}

  /** @param path the name of the value in messages */
  copy(value: unknown, path: string): unknown {
    if (++this.size > this.mostValues) throw new ContextError(tooLarge(path));
    if (typeof value === 'function' || typeof value === 'symbol') {
      throw new ContextError(`${path} is a ${typeof value}, which cannot be stored. Leave it out.`);
    }
    if (typeof value !== 'object' || value === null) return value;
    if (this.ancestors.has(value)) throw new ContextError(circular(path));
    if (this.ancestors.size === DEEPEST) throw new ContextError(tooDeep(path));
    this.ancestors.add(value);
    try {
      return this.copyObject(value, path);
    } catch (error) {
      if (error instanceof ContextError) throw error;
      throw new ContextError(`${path} cannot be read (${messageOf(error)}).`, { cause: error });
    } finally {
      this.ancestors.delete(value);
    }
  }

  private copyObject(value: object, path: string): unknown {
    if (isPlain(value, Array.isArray)) return Array.from(value, (item, at) => this.copy(item, `${path}[${at}]`));
    const type = this.entities.classOf(value);
    if (type) return this.copyEntity(type, value, path);
    if (isObjectPrototype(prototypeOf(value))) return this.copyProperties(value, path);
    if (isPlain(value, types.isMap)) return new Map(Array.from(value, (entry, at) => this.copyEntry(entry, path, at)));
    if (isPlain(value, types.isSet)) {
      return new Set(Array.from(value, (item, at) => this.copy(item, `${path}.values()[${at}]`)));
    }
    if (value instanceof Error) return this.copyError(value, path);
    const leaf = copyOfLeaf(value);
    if (leaf) return leaf;
    throw new ContextError(foreign(value, path));
  }

  private copyEntity(type: ClassRef, value: object, path: string): Reference | StoredValues {
    if (isSnapshot(value)) return new StoredValues(type, this.copyProperties(value, path));
    const id = this.entities.idOf(value);
    if (id === undefined) throw new ContextError(unsaved(type.entity, path));
    return new Reference(type, id);
  }

  private copyProperties(value: object, path: string): object {
    const copy: Record<string, unknown> = {};
    for (const name of Object.keys(value)) {
      const place = pathTo(path, name);
      if (RESERVED.includes(name)) throw new ContextError(`${place} cannot be stored under that name. Rename it.`);
      copy[name] = this.copy((value as Record<string, unknown>)[name], place);
    }
    return copy;
  }

  private copyEntry([key, value]: [unknown, unknown], path: string, at: number): [unknown, unknown] {
    return [this.copy(key, `${path}.keys()[${at}]`), this.copy(value, `${path}.values()[${at}]`)];
  }

  private copyError(error: Error, path: string): Error {
    const copy = new Error(error.message);
    copy.name = error.name;
    if (error.cause !== undefined) copy.cause = this.copy(error.cause, `${path}.cause`);
    return copy;
  }
}

/** The message for a context that is too large. */
export function tooLarge(path: string): string {
  return `${path} is too large to be stored with an event. Store entities, which become references, or fewer values.`;
}

// This compares the shape, not the identity, because a test runner's sandbox has an Object of its own.
function isObjectPrototype(prototype: object | null): boolean {
  return prototype === null || (prototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf'));
}

function prototypeOf(value: object): object | null {
  return Object.getPrototypeOf(value) as object | null;
}

function isPlain<T extends object>(value: object, isKind: (value: object) => value is T): value is T {
  const prototype = prototypeOf(value);
  return isKind(value) && prototype !== null && isObjectPrototype(prototypeOf(prototype));
}

/** The path of a property. */
export function pathTo(path: string, name: string): string {
  return /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`;
}

function circular(path: string): string {
  return `${path} is circular: it holds itself. Leave that part out, or store only what handlers need.`;
}

function tooDeep(path: string): string {
  return `${path.slice(0, 100)}… is nested deeper than ${DEEPEST} levels. Store only what handlers need.`;
}

function unsaved(entity: string, path: string): string {
  return `${path} is ${withArticle(entity)} without an id, so it cannot be stored as a reference. Save it first, or store snapshot().`;
}

function foreign(value: object, path: string): string {
  if (types.isPromise(value)) return `${path} is a Promise, which cannot be stored. Await it, and store its result.`;
  return (
    `${path} is ${withArticle(classOf(value))}, which is not an entity of this DataSource: it would come back without its ` +
    `class. Store its plain values.`
  );
}
