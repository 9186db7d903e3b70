import type { DataSource, EntityMetadata, ObjectLiteral } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { UnsupportedKeyError } from '../error/unsupported-key.error.js';

/**
 * Which row: the entity that its table belongs to, and its primary key as text. A single key is the text of its
 * value in the database, a composite one a JSON array of them.
 */
export interface SubjectRef {
  readonly root: EntityMetadata;
  readonly id: string;
}

const WHOLE = /^(int|integer|int2|int4|int8|tinyint|smallint|mediumint|bigint|unsigned big int)$/;
const TEXT =
  /^(varchar|character varying|char|character|nchar|nvarchar|varying character|native character|text|tinytext|citext|uuid)$/;

/** The entity whose table a row is in: with single-table inheritance the topmost, else the entity itself. */
export function rootOf(metadata: EntityMetadata): EntityMetadata {
  return metadata.tableType === 'entity-child' ? metadata.parentEntityMetadata : metadata;
}

/** Throws UnsupportedKeyError unless the primary key can be kept as text of `longest` characters and found again by it. */
export function checkKey(dataSource: DataSource, { name, primaryColumns }: EntityMetadata, longest: number): void {
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
  return values.includes(undefined) ? undefined : writeKey(values);
}

/** The key of a row, its values in the order of the primary columns, as text. */
export function writeKey(values: readonly unknown[]): string {
  const texts = values.map(String);
  return texts.length === 1 ? texts[0]! : JSON.stringify(texts);
}

/** The id of a row as keys of events show it: the parts of a composite one joined by commas. */
export function idText({ root, id }: SubjectRef): string {
  return partsOf(root, id).join(',');
}

/** Whether text is the key of a row that could be: whole numbers have to be such. */
export function isKey(dataSource: DataSource, metadata: EntityMetadata, key: string): boolean {
  const columns = metadata.primaryColumns;
  const isWhole = (i: number) => WHOLE.test(typeOf(dataSource, columns[i]!));
  return partsOf(metadata, key).every((text, i) => !isWhole(i) || /^-?\d+$/.test(text));
}

/** The values of a key, as parameters that the database compares with the columns by their own type. */
export function readKey(dataSource: DataSource, metadata: EntityMetadata, id: string): (string | number | bigint)[] {
  const columns = metadata.primaryColumns;
  return partsOf(metadata, id).map((text, i) =>
    WHOLE.test(typeOf(dataSource, columns[i]!)) ? whole(dataSource, text) : text,
  );
}

/** What {@link writeKey} has written. */
function partsOf({ primaryColumns }: EntityMetadata, key: string): string[] {
  return primaryColumns.length === 1 ? [key] : (JSON.parse(key) as string[]);
}

function whole(dataSource: DataSource, text: string): string | number | bigint {
  if (dataSource.options.type === 'postgres') return text;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text);
}

function typeOf(dataSource: DataSource, column: ColumnMetadata): string {
  return dataSource.driver.normalizeType(column).toLowerCase();
}
