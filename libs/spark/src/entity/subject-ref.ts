import type { DataSource, EntityMetadata, ObjectLiteral } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { padsText, wholeNumberParameter } from '../database/traits.js';
import { UnsupportedKeyError } from '../error/unsupported-key.error.js';

/**
 * Which row: the entity that stands for its table (`rootOf`), and its primary key as text. A single key is the text of its
 * value in the database, a composite one a JSON array of them.
 */
export interface SubjectRef {
  readonly root: EntityMetadata;
  readonly id: string;
}

const WHOLE = /^(int|integer|int2|int4|int8|tinyint|smallint|mediumint|bigint|unsigned big int)$/;
const TEXT =
  /^(varchar|character varying|char|character|nchar|nvarchar|varying character|native character|text|tinytext|citext|uuid)$/;

/** The columns that a key is of. */
export type KeyColumns = Pick<EntityMetadata, 'primaryColumns'>;

const PADDED = /^(char|character|nchar|native character)$/;
const UUID = 'uuid';

/** Throws UnsupportedKeyError unless the primary key can be kept as text of `longest` characters and found again by it. */
export function checkKey(dataSource: DataSource, { name, primaryColumns }: EntityMetadata, longest: number): void {
  if (primaryColumns.length === 0)
    throw new UnsupportedKeyError(
      name,
      'is missing. Give a view a primary column: @ViewColumn() and @PrimaryColumn().',
    );
  let length = 0;
  for (const column of primaryColumns) {
    const type = typeOf(dataSource, column);
    const needed = 'Spark needs keys of whole numbers, text or uuid.';
    if (TEXT.test(type)) length += Number(dataSource.driver.getColumnLength(column));
    else if (!WHOLE.test(type))
      throw new UnsupportedKeyError(name, `${column.propertyName} is of the type ${type}. ${needed}`);
  }
  if (length <= longest) return;
  const limit = `Spark's tables keep ${longest}, as the indexes of this database take no more`;
  throw new UnsupportedKeyError(name, `may have ${length} characters. ${limit}. Give its columns a smaller length.`);
}

/** The key of an entity as text, or undefined when it has none yet. */
export function keyOf(dataSource: DataSource, metadata: EntityMetadata, entity: ObjectLiteral): string | undefined {
  const values = metadata.primaryColumns.map((column) => {
    const value: unknown = column.getEntityValue(entity);
    return value === undefined || value === null
      ? undefined
      : (dataSource.driver.preparePersistentValue(value, column) as unknown);
  });
  return values.includes(undefined) ? undefined : writeKey(dataSource, metadata, values);
}

/** The key of a row as text, of its values in the order of the primary columns: the same that `keySql` writes. */
export function writeKey(dataSource: DataSource, metadata: KeyColumns, values: readonly unknown[]): string {
  const texts = metadata.primaryColumns.map((column, i) => keyPart(dataSource, column, values[i]));
  return texts.length === 1 ? texts[0]! : JSON.stringify(texts);
}

/** A key that SQL wrote, as {@link writeKey} writes it: databases differ in how they write JSON. */
export function sameKey(metadata: KeyColumns, key: string): string {
  return metadata.primaryColumns.length === 1 ? key : JSON.stringify(partsOf(metadata, key));
}

/** Whether JavaScript holds the ids of an entity exactly: SQLite gives whole numbers beyond 2^53 rounded. */
export function isExact({ primaryColumns }: EntityMetadata, entity: ObjectLiteral): boolean {
  return primaryColumns.every((column) => {
    const value: unknown = column.getEntityValue(entity);
    return typeof value !== 'number' || Number.isSafeInteger(value) || !Number.isInteger(value);
  });
}

/** The ids by which events may call a row: by its key, and as the entity holds it. */
export function idsOf({ root, id }: SubjectRef, entity: ObjectLiteral): (readonly unknown[])[] {
  return [partsOf(root, id), root.primaryColumns.map((column) => column.getEntityValue(entity) as unknown)];
}

/** Whether a value can be one of a primary column: whole numbers have to be such. */
export function isKeyPart(dataSource: DataSource, column: ColumnMetadata, value: unknown): boolean {
  if (!WHOLE.test(typeOf(dataSource, column)) || column.transformer || typeof value === 'boolean') return true;
  return typeof value === 'number' ? Number.isSafeInteger(value) : /^-?\d+$/.test(String(value));
}

/** The values of a key, as parameters that the database compares with the columns by their own type. */
export function readKey(dataSource: DataSource, metadata: KeyColumns, id: string): (string | number | bigint)[] {
  const columns = metadata.primaryColumns;
  return partsOf(metadata, id).map((text, i) =>
    WHOLE.test(typeOf(dataSource, columns[i]!)) ? wholeNumberParameter(dataSource, text) : text,
  );
}

/** What {@link writeKey} has written. */
function partsOf({ primaryColumns }: KeyColumns, key: string): string[] {
  return primaryColumns.length === 1 ? [key] : (JSON.parse(key) as string[]);
}

/** A value of a key's column as text. */
export function keyPart(dataSource: DataSource, column: ColumnMetadata, value: unknown): string {
  if (typeof value === 'boolean') return value ? '1' : '0';
  const type = typeOf(dataSource, column);
  // What these compare as equal is one row.
  if (PADDED.test(type) && padsText(dataSource)) return String(value).replace(/ +$/, '');
  return type === UUID ? String(value).toLowerCase() : String(value);
}

const types = new WeakMap<ColumnMetadata, string>();

function typeOf(dataSource: DataSource, column: ColumnMetadata): string {
  let type = types.get(column);
  if (type === undefined) types.set(column, (type = dataSource.driver.normalizeType(column).toLowerCase()));
  return type;
}
