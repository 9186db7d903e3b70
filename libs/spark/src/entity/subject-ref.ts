import type { DataSource, EntityMetadata, ObjectLiteral } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { padsText, wholeNumberParameter } from '../database/traits.js';
import { UnsupportedKeyError } from '../error/unsupported-key.error.js';

/**
 * A reference to a row: the root of its table (`rootOf`), and its primary key as text. A single key is the text of its value in the
 * database. A composite key is a JSON array of such texts.
 */
export interface SubjectRef {
  readonly root: EntityMetadata;
  readonly id: string;
}

const WHOLE = /^(int|integer|int2|int4|int8|tinyint|smallint|mediumint|bigint|unsigned big int)$/;
const TEXT =
  /^(varchar|character varying|char|character|nchar|nvarchar|varying character|native character|text|tinytext|citext|uuid)$/;

/** The columns of a key. */
export type KeyColumns = Pick<EntityMetadata, 'primaryColumns'>;

const PADDED = /^(char|character|nchar|native character)$/;
const UUID = 'uuid';

/** Throws UnsupportedKeyError unless the primary key fits into a text of `longest` characters, and that text finds the row again. */
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
  const limit = `Spark's tables keep ${longest}, because the indexes of this database allow no more`;
  throw new UnsupportedKeyError(name, `may have ${length} characters. ${limit}. Give its columns a smaller length.`);
}

/** The key of an entity as text; undefined when the entity has no key yet. */
export function keyOf(dataSource: DataSource, metadata: EntityMetadata, entity: ObjectLiteral): string | undefined {
  const values = metadata.primaryColumns.map((column) => {
    const value: unknown = column.getEntityValue(entity);
    return value === undefined || value === null
      ? undefined
      : (dataSource.driver.preparePersistentValue(value, column) as unknown);
  });
  return values.includes(undefined) ? undefined : writeKey(dataSource, metadata, values);
}

/** The key of a row as text, from its values in the order of the primary columns. `keySql` writes the same text. */
export function writeKey(dataSource: DataSource, metadata: KeyColumns, values: readonly unknown[]): string {
  const texts = metadata.primaryColumns.map((column, i) => keyPart(dataSource, column, values[i]));
  return texts.length === 1 ? texts[0]! : JSON.stringify(texts);
}

/** Turns a key that SQL wrote into the text of {@link writeKey}: databases differ in how they write JSON. */
export function sameKey(metadata: KeyColumns, key: string): string {
  return metadata.primaryColumns.length === 1 ? key : JSON.stringify(partsOf(metadata, key));
}

/** Whether the numbers in an entity's id are exact in JavaScript: SQLite rounds whole numbers beyond 2^53. */
export function isExact({ primaryColumns }: EntityMetadata, entity: ObjectLiteral): boolean {
  return primaryColumns.every((column) => {
    const value: unknown = column.getEntityValue(entity);
    return typeof value !== 'number' || Number.isSafeInteger(value) || !Number.isInteger(value);
  });
}

/** The ids that events of a row may have: the texts of its key, and the values in the entity. */
export function idsOf({ root, id }: SubjectRef, entity: ObjectLiteral): (readonly unknown[])[] {
  return [partsOf(root, id), root.primaryColumns.map((column) => column.getEntityValue(entity) as unknown)];
}

/** Whether a value is possible in a primary column: a column of whole numbers needs a whole number. */
export function isKeyPart(dataSource: DataSource, column: ColumnMetadata, value: unknown): boolean {
  if (!WHOLE.test(typeOf(dataSource, column)) || column.transformer || typeof value === 'boolean') return true;
  return typeof value === 'number' ? Number.isSafeInteger(value) : /^-?\d+$/.test(String(value));
}

/** The values of a key as parameters of the columns' types, so that the database compares them without a cast. */
export function readKey(dataSource: DataSource, metadata: KeyColumns, id: string): (string | number | bigint)[] {
  const columns = metadata.primaryColumns;
  return partsOf(metadata, id).map((text, i) =>
    WHOLE.test(typeOf(dataSource, columns[i]!)) ? wholeNumberParameter(dataSource, text) : text,
  );
}

/** The values in a text of {@link writeKey}. */
function partsOf({ primaryColumns }: KeyColumns, key: string): string[] {
  return primaryColumns.length === 1 ? [key] : (JSON.parse(key) as string[]);
}

/** A value of a key's column as text. */
export function keyPart(dataSource: DataSource, column: ColumnMetadata, value: unknown): string {
  if (typeof value === 'boolean') return value ? '1' : '0';
  const type = typeOf(dataSource, column);
  // These databases ignore spaces at the end when they compare such columns, so both texts mean one row.
  if (PADDED.test(type) && padsText(dataSource)) return String(value).replace(/ +$/, '');
  return type === UUID ? String(value).toLowerCase() : String(value);
}

const types = new WeakMap<ColumnMetadata, string>();

function typeOf(dataSource: DataSource, column: ColumnMetadata): string {
  let type = types.get(column);
  if (type === undefined) types.set(column, (type = dataSource.driver.normalizeType(column).toLowerCase()));
  return type;
}
