import { types } from 'node:util';
import { DiscardDelivery, type JsonValue } from '../index.js';

const ADVICE = 'Give the relay a data function that returns plain values, or change the context.';
const DEEPEST = 100;

/**
 * Returns the data of an event as JSON has it. Dates become ISO texts, bigints decimal texts. Objects with a `toJSON` become what that
 * returns, entities plain objects. What is undefined is left out of objects.
 *
 * @param key the key of the event, for the message
 * @throws DiscardDelivery that names the place of what JSON cannot carry
 */
export function jsonOf(key: string, data: unknown): JsonValue | undefined {
  return valueOf(data, { key, path: [], ancestors: [] });
}

/** Where in the data a value is. */
interface Place {
  readonly key: string;
  readonly path: (string | number)[];
  readonly ancestors: object[];
}

function valueOf(value: unknown, place: Place): JsonValue | undefined {
  if (value === null || value === undefined || typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : refuse(String(value), place);
  if (typeof value === 'bigint') return String(value);
  if (typeof value === 'function' || typeof value === 'symbol') return refuse(`a ${typeof value}`, place);
  const unfit = unfitKind(value);
  return unfit === undefined ? objectOf(value, place) : refuse(unfit, place);
}

/** What JSON would silently write as an empty object, as null, or as a long list of numbers. */
function unfitKind(value: object): string | undefined {
  if (types.isDate(value)) return Number.isNaN(value.getTime()) ? 'an invalid Date' : undefined;
  if (ArrayBuffer.isView(value) || types.isAnyArrayBuffer(value)) return 'binary data';
  if (types.isMap(value) || types.isWeakMap(value)) return 'a Map';
  if (types.isSet(value) || types.isWeakSet(value)) return 'a Set';
  if (types.isRegExp(value)) return 'a RegExp';
  if (types.isNativeError(value)) return 'an Error';
  return types.isPromise(value) ? 'a Promise' : undefined;
}

function objectOf(value: object, place: Place): JsonValue | undefined {
  const { ancestors, path } = place;
  if (ancestors.includes(value)) return refuse('an object that holds itself', place);
  if (ancestors.length === DEEPEST) return refuse(`more than ${DEEPEST} levels deep`, place);
  ancestors.push(value);
  try {
    if ('toJSON' in value && typeof value.toJSON === 'function')
      return valueOf(value.toJSON(String(path.at(-1) ?? '')), place);
    // Array.from turns a hole in a list into undefined, which JSON writes as null.
    if (Array.isArray(value)) return Array.from(value, (part: unknown, i) => within(place, i, part) ?? null);
    const parts = Object.entries(value).map(([name, part]) => [name, within(place, name, part)] as const);
    return Object.fromEntries(parts.filter(([, part]) => part !== undefined));
  } finally {
    ancestors.pop();
  }
}

function within(place: Place, name: string | number, part: unknown): JsonValue | undefined {
  place.path.push(name);
  const value = valueOf(part, place);
  place.path.pop();
  return value;
}

function refuse(what: string, { key, path }: Place): never {
  const where = path.map((name) => (typeof name === 'number' ? `[${name}]` : `.${name}`)).join('');
  throw new DiscardDelivery(`${key} cannot be sent: its data${where} is ${what}, which JSON cannot carry. ${ADVICE}`);
}
