import type { EntityManager, EntityMetadata, EntityTarget, ObjectLiteral } from 'typeorm';
import { inspect, types } from 'node:util';
import { type DeliveryRecordFilter, type FilteredEntity } from '../store/record-filter.js';
import { DELIVERY_STATES } from '../database/delivery-states.js';
import { entityName } from '../error/entity-name.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { NoSourceError } from '../error/no-source.error.js';
import { UnknownEntityError } from '../error/unknown-entity.error.js';
import { UnknownHandlerError } from '../error/unknown-handler.error.js';
import type { Source } from '../source/source.js';
import type { Spark } from './create-spark.js';
import { refuseUnknown } from '../config/option-parsers.js';
import { rootOf } from '../entity/entity-table.js';
import { isKeyPart, writeKey } from '../entity/subject-ref.js';

/** Throws InvalidOptionsError for the first part of a filter that is not as expected. */
function checkParts(method: string, filter: object, expectedOf: (name: string, value: unknown) => string | undefined) {
  for (const [name, value] of Object.entries(filter) as [string, unknown][]) {
    const expected = expectedOf(name, value);
    if (expected === undefined) continue;
    throw new InvalidOptionsError(`${method} { ${name} }`, value, `${expected}; leave it out to select all`);
  }
}

/** The parts that a filter of events, and one of deliveries, may have besides the entity and its id. */
export const EVENT_FILTER = ['key', 'keyPrefix', 'eventId', 'causedBy', 'group', 'source', 'from', 'to'];
export const DELIVERY_FILTER = [...EVENT_FILTER, 'deliveryId', 'handler', 'state', 'error', 'fingerprint'];

const TEXTS = ['keyPrefix', 'group', 'source', 'handler', 'error'];
const STATES = DELIVERY_STATES.map((state) => `'${state}'`).join(', ');

/** What each part of a filter expects, besides the entity and its id. Each check returns that text, or undefined. */
const EXPECTED: Record<string, (value: unknown) => string | undefined> = {
  ...Object.fromEntries(TEXTS.map((name) => [name, (value) => (isText(value) ? undefined : 'text')])),
  key: (value) => (isList(value, isText) ? undefined : 'text, or a list of texts'),
  fingerprint: (value) =>
    isText(value) && FINGERPRINT.test(value) ? undefined : '16 hexadecimal digits, as lists show it',
  ...Object.fromEntries(
    Object.entries({ deliveryId: 'a delivery', eventId: 'an event', causedBy: 'an event' }).map(([name, of]) => [
      name,
      (value) =>
        isList(value, isNumber, MOST_IDS) ? undefined : `the id of ${of}, or a list of up to ${MOST_IDS} of them`,
    ]),
  ),
  ...Object.fromEntries(
    ['from', 'to', 'since'].map((name) => [name, (value) => (isDate(value) ? undefined : 'a Date')]),
  ),
  repeat: (value) => (typeof value === 'boolean' ? undefined : 'true or false'),
  state: (value) => (isList(value, isState) ? undefined : `one of ${STATES}, or a list of these`),
};

const MOST_IDS = 10_000;
// As large as the ids of the databases grow.
const isNumber = (value: unknown): boolean => typeof value === 'string' && /^\d{1,18}$/.test(value);
const FINGERPRINT = /^[0-9a-f]{16}$/;
const isText = (value: unknown): value is string => typeof value === 'string';
const isState = (value: unknown): boolean => (DELIVERY_STATES as readonly unknown[]).includes(value);
const isDate = (value: unknown): boolean => types.isDate(value) && !Number.isNaN(value.getTime());

function isList(value: unknown, isPart: (part: unknown) => boolean, most = Infinity): boolean {
  const parts = [value].flat();
  return parts.length > 0 && parts.length <= most && parts.every(isPart);
}

/**
 * Checks a filter of records, and returns the entity that it names. Throws InvalidOptionsError, UnknownEntityError, and TypeError for
 * an invalid id.
 */
export function entityIn(
  spark: Spark,
  method: string,
  filter: DeliveryRecordFilter,
  names: readonly string[],
): FilteredEntity | undefined {
  refuseUnknown(method, filter, [...names, 'entity', 'id']);
  checkParts(method, filter, (name, value) => EXPECTED[name]?.(value) ?? (value === undefined ? 'given' : undefined));
  const { entity, id } = filter;
  if (entity === undefined && id !== undefined) throw new TypeError(`${method} needs the entity of the id.`);
  if (entity === undefined) return undefined;
  const metadata = metadataGiven(spark, method, entity);
  return { root: rootOf(metadata), id: id === undefined ? undefined : keyGiven(spark, method, metadata, id) };
}

/** Throws InvalidOptionsError if the value cannot be the id of a delivery. */
export function checkDeliveryId(method: string, id: unknown): void {
  if (isNumber(id)) return;
  throw new InvalidOptionsError(method, id, 'the id of a delivery, as in DeliveryRecord.id');
}

/** Whether a value is an entity (a class, a schema or a name) rather than a filter. */
export function isEntity({ dataSource }: Spark, what: unknown): what is EntityTarget<ObjectLiteral> {
  const isPlain =
    typeof what === 'object' && what !== null && [Object.prototype, null].includes(Object.getPrototypeOf(what) as null);
  return !isPlain || dataSource.hasMetadata(what as EntityTarget<ObjectLiteral>);
}

/** Returns the metadata of an entity. Throws UnknownEntityError. */
export function metadataGiven({ dataSource }: Spark, method: string, entity: EntityTarget<ObjectLiteral>) {
  if (dataSource.hasMetadata(entity)) return dataSource.getMetadata(entity);
  throw new UnknownEntityError(`${method} was given`, entityName(entity));
}

/** Returns the sources of an entity. Throws UnknownEntityError and NoSourceError. */
export function sourcesGiven(spark: Spark, method: string, entity: EntityTarget<ObjectLiteral>) {
  const metadata = metadataGiven(spark, method, entity);
  const all = spark.sources.all().map((source) => source.metadata);
  if (!all.includes(metadata))
    throw new NoSourceError(method, metadata.name, [...new Set(all.map(({ name }) => name))]);
  return (source: Source): boolean => source.metadata === metadata;
}

/** Returns all names of a handler, of any process. Throws UnknownHandlerError. */
export async function handlerNamesGiven(
  { registered }: Spark,
  manager: EntityManager,
  name: string,
): Promise<string[]> {
  const names = await registered.allNamesOf(manager, name);
  if (names.length === 0) throw new UnknownHandlerError(name, await registered.known(manager), 'any process');
  return names;
}

/** Returns the key of an id. Throws TypeError if it is invalid, or lacks a part. */
export function keyGiven({ dataSource }: Spark, method: string, metadata: EntityMetadata, id: unknown): string {
  const columns = metadata.primaryColumns;
  const isMap = typeof id === 'object' && id !== null && !Array.isArray(id) && !isValueOf(metadata, id);
  const given: unknown[] = Array.isArray(id) ? id : [id];
  const parts = isMap ? columns.map((column) => column.getEntityValue(id) as unknown) : given;
  if (parts.length !== columns.length || parts.some((part) => part === undefined || part === null))
    throw new TypeError(`${method} needs every part of the id of ${metadata.name}.`);
  // Not every driver of TypeORM accepts a bigint for a number.
  const plain = parts.map((part) => (typeof part === 'bigint' ? String(part) : part));
  const values = columns.map((column, i) => dataSource.driver.preparePersistentValue(plain[i], column) as unknown);
  if (!columns.every((column, i) => isKeyPart(dataSource, column, column.transformer ? values[i] : parts[i])))
    throw new TypeError(`${method} was given ${inspect(id)}, which cannot be an id of ${metadata.name}.`);
  return writeKey(dataSource, metadata, values);
}

/** Whether an object is the value of a single key, as the transformer of the column returns it. */
function isValueOf({ primaryColumns, target }: EntityMetadata, id: object): boolean {
  if (primaryColumns.length > 1 || !primaryColumns[0]!.transformer) return false;
  return Object.getPrototypeOf(id) !== Object.prototype && !(typeof target === 'function' && id instanceof target);
}
