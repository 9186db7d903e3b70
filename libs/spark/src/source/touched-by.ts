import type { DataSource, EntityMetadata } from 'typeorm';
import type { ColumnMetadata } from 'typeorm/metadata/ColumnMetadata.js';
import { entityName } from '../error/entity-name.js';
import { UnknownColumnError } from '../error/unknown-column.error.js';
import { UnknownEntityError } from '../error/unknown-entity.error.js';
import { got, messageOf } from '../error/wording.js';
import type { Source } from './source.js';
import type { Touch } from './touch.js';
import { rootOf } from '../entity/entity-table.js';
import type { TouchRule } from './touches.js';

/** The touch rules of a source's `touchedBy`. Throws UnknownEntityError and UnknownColumnError. */
export function touchedByRules(dataSource: DataSource, source: Source): TouchRule[] {
  return (source.options.touchedBy ?? []).map((touch) => {
    if (!dataSource.hasMetadata(touch.entity))
      throw new UnknownEntityError(`${source.where} is touched by`, entityName(touch.entity));
    const changed = dataSource.getMetadata(touch.entity);
    const direct = columnsOf(source, changed, touch);
    return { root: rootOf(source.metadata), source, path: [], changed, direct };
  });
}

function columnsOf({ where, metadata }: Source, changed: EntityMetadata, { key }: Touch): ColumnMetadata[] {
  const columns = columnsByPath(changed);
  const refuse = (reason: string) => new UnknownColumnError(where, changed.name, reason, [...columns.keys()]);
  const paths = pathsOf(key, refuse);
  const keys = metadata.primaryColumns.length;
  if (paths.length !== keys) {
    const named = paths.length === 0 ? '' : ` (${paths.join(', ')})`;
    throw refuse(`names ${paths.length} columns${named}, but the id of ${metadata.name} has ${keys}`);
  }
  return paths.map((path) => {
    const column = columns.get(path);
    if (!column) throw refuse(`names "${path}", which is not a column of it`);
    return column;
  });
}

/** Columns by the path of their property. A column of a relation has the path of the key that it refers to, such as `challenge.id`. */
function columnsByPath({ columns }: EntityMetadata): Map<string, ColumnMetadata> {
  const byPath = new Map<string, ColumnMetadata>();
  for (const column of columns) {
    const { propertyPath, relationMetadata, referencedColumn } = column;
    if (propertyPath !== relationMetadata?.propertyPath) byPath.set(propertyPath, column);
    if (relationMetadata && referencedColumn)
      byPath.set(`${relationMetadata.propertyPath}.${referencedColumn.propertyPath}`, column);
  }
  return byPath;
}

/** The properties that a selector names. It runs the selector on an object that records which properties are read. */
function pathsOf(key: Touch['key'], refuse: (reason: string) => Error): string[] {
  const paths = new WeakMap<object, string>();
  const read = new Set<string>();
  const recorderAt = (path: string): object => {
    const recorder = new Proxy(Object.freeze({}), {
      get: (_, name) => {
        if (typeof name === 'symbol') return undefined;
        const longer = path === '' ? name : `${path}.${name}`;
        read.add(longer);
        return recorderAt(longer);
      },
    });
    paths.set(recorder, path);
    return recorder;
  };
  const named = select(key, recorderAt(''), refuse).map((value) => {
    const path = Object(value) === value ? paths.get(value as object) : undefined;
    if (!path) throw refuse(`returns ${path === '' ? 'the entity itself' : got(value)} instead of a property`);
    return path;
  });
  const other = [...read].find((path) => !named.some((name) => name === path || name.startsWith(`${path}.`)));
  if (other !== undefined) throw refuse(`also reads "${other}"`);
  return named;
}

function select(key: Touch['key'], entity: object, refuse: (reason: string) => Error): unknown[] {
  try {
    const value = key(entity);
    return Array.isArray(value) ? Array.from(value as unknown[]) : [value];
  } catch (error) {
    throw refuse(`does more than name a property (${messageOf(error)})`);
  }
}
