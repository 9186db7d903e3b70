import 'reflect-metadata';
import { NotAMethodError } from '../error/not-a-method.error.js';
import { StaticMethodError } from '../error/static-method.error.js';

/**
 * Adds metadata to a method or a class, and keeps the metadata that it has.
 * Metadata of a method is stored on the function, so that inherited methods keep it and overriding methods do not have it.
 */
export function addMetadata(
  token: symbol,
  decorator: string,
  value: object,
  target: object,
  key?: string | symbol,
): void {
  const place = key === undefined ? target : methodOf(decorator, target, key);
  const all: object[] = Reflect.getOwnMetadata(token, place) ?? [];
  Reflect.defineMetadata(token, [...all, value], place);
}

/** All metadata of a function or class itself, without that of a parent class. */
export function metadataOf<M>(token: symbol, place: object): M[] {
  return Reflect.getOwnMetadata(token, place) ?? [];
}

function methodOf(decorator: string, target: object, key: string | symbol): object {
  const isStatic = typeof target === 'function';
  const where = `${isStatic ? target.name : target.constructor.name}.${String(key)}`;
  const method: unknown = Object.getOwnPropertyDescriptor(target, key)?.value;
  if (typeof method !== 'function') throw new NotAMethodError(decorator, where);
  if (isStatic) throw new StaticMethodError(where);
  return method;
}
