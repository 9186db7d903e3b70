import { types } from 'node:util';
import { SuperJSON } from 'superjson';
import { ContextTree, Reference, StoredValues } from './context-tree.js';
import { classIn, type ClassRef, type EntityLookup, type EntityRef, isClassRef } from './entity-lookup.js';
import { restorePlain, storePlain, type StoredContext } from './plain-context.js';

/** Makes the values that replace stored entities while a context is read. */
export interface Places {
  reference(ref: EntityRef): unknown;
  values(type: ClassRef, values: object): unknown;
}

type Serialized = ReturnType<SuperJSON['serialize']>;
type Json = Serialized['json'];
type Bytes = Buffer | NodeJS.TypedArray;

const VIEWS = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
];

/** Writes a context as JSON. Throws ContextError. */
export function write(context: unknown, entities: EntityLookup, mostCharacters: number): string {
  // Each value has two characters or more in JSON.
  const tree = () => new ContextTree(entities, mostCharacters / 2).copy(context, 'context');
  return JSON.stringify(plainly(context, entities) ?? serialize(writer, tree()));
}

// If reading a value throws, the tree throws again, with a better message.
function plainly(context: unknown, entities: EntityLookup): StoredContext | undefined {
  try {
    return storePlain(context, entities);
  } catch {
    return undefined;
  }
}

/** Reads the text that {@link write} wrote. Throws any error of JSON, superjson or `places`. */
export function read(text: string, places: Places): unknown {
  const context: unknown = JSON.parse(text);
  if (typeof context !== 'object' || context === null || !Object.hasOwn(context, 'json'))
    throw new Error('no json in it');
  if (restorePlain(context as StoredContext, places.reference)) return (context as StoredContext).json;
  return superjson(places).deserialize(context as Serialized, { inPlace: true });
}

// The tree holds no object twice. superjson treats equal bigints and NaNs as one object, and then breaks Maps when it restores them.
function serialize(json: SuperJSON, tree: unknown): Serialized {
  const { json: plain, meta } = json.serialize(tree);
  return meta?.values ? { json: plain, meta: { values: meta.values, v: meta.v } } : { json: plain };
}

// Each reading needs an instance of its own, because the instance holds `places`.
function superjson(places: Places): SuperJSON {
  const json = new SuperJSON();
  registerEntities(json, places);
  registerLeaves(json);
  return json;
}

function registerEntities(json: SuperJSON, places: Places): void {
  json.registerCustom<Reference, Json>(
    {
      isApplicable: (value): value is Reference => value instanceof Reference,
      serialize: ({ type, id }) => ({ ...type, id }),
      deserialize: (stored) => {
        const ref = stored as unknown as EntityRef;
        if (!isClassRef({ ...ref }) || typeof ref.id !== 'string') throw new Error('a reference without entity or id');
        return places.reference({ ...classIn(ref), id: ref.id }) as Reference;
      },
    },
    'entity',
  );
  json.registerCustom<StoredValues, Json>(
    {
      isApplicable: (value): value is StoredValues => value instanceof StoredValues,
      serialize: ({ type, values }) => ({ ...type, values: serialize(json, values) as unknown as Json }),
      deserialize: (stored) => {
        const { values, ...type } = stored as unknown as ClassRef & { values: Serialized };
        return places.values(classIn(type), json.deserialize(values, { inPlace: true })) as StoredValues;
      },
    },
    'snapshot',
  );
}

/** Registers the types that superjson itself does not restore correctly. */
function registerLeaves(json: SuperJSON): void {
  json.registerCustom<Bytes, Json>(
    {
      isApplicable: (value): value is Bytes => types.isTypedArray(value),
      serialize: (bytes) => ({ type: typeOf(bytes), base64: asBuffer(bytes).toString('base64') }),
      deserialize: (stored) => bytesOf(stored as unknown as { type: string; base64: string }),
    },
    'bytes',
  );
  json.registerCustom<Date, Json>(
    {
      isApplicable: (value): value is Date => types.isDate(value) && Number.isNaN(value.getTime()),
      serialize: () => null,
      deserialize: () => new Date(Number.NaN),
    },
    'invalid date',
  );
}

function typeOf(bytes: Bytes): string {
  return Buffer.isBuffer(bytes) ? 'Buffer' : bytes[Symbol.toStringTag];
}

function asBuffer({ buffer, byteOffset, byteLength }: Bytes): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function bytesOf({ type, base64 }: { type: string; base64: string }): Bytes {
  const buffer = Buffer.from(base64, 'base64');
  if (type === 'Buffer') return buffer;
  const View = VIEWS.find(({ name }) => name === type);
  if (!View) throw new Error(`bytes of the unknown type ${type}`);
  // The copy is needed: a small Buffer shares its memory with others, and other views reject its offset.
  return new View(new Uint8Array(buffer).buffer);
}

const writer = superjson({ reference: () => null, values: () => null });
