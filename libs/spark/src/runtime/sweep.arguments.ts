import type { EntityTarget, ObjectLiteral } from 'typeorm';
import { parseBoolean, positiveInteger, refuseUnknown } from '../config/option-parsers.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { UnknownSourceError } from '../error/unknown-source.error.js';
import { select } from '../database/statement.js';
import type { Source } from '../source/source.js';
import type { SomeKeys } from '../sweep/pages.js';
import type { SweepSpeed } from '../sweep/sweep.js';
import type { Spark } from './create-spark.js';
import { keyGiven, metadataGiven, sourcesGiven } from './spark.arguments.js';

/** Options of `SparkService.sweep`. */
export interface SweepCallOptions {
  /** Only the sources of this entity. Default: all. */
  readonly entity?: EntityTarget<ObjectLiteral>;
  /** How many ranges of a table this process sweeps at the same time. Default: the module's `sweep.concurrency`, 1. */
  readonly concurrency?: number;
  /** How many entities a second this process reads at most. Default: the module's `sweep.rate`, no limit. */
  readonly rate?: number;
  /** Reads all rows, also where Spark could read only those that have changed. Default: false. */
  readonly full?: boolean;
  /** Only the entities with these ids. It needs `entity`, and excludes `from` and `to`. Default: all. */
  readonly ids?: readonly unknown[];
  /** Only entities from this id on, in the order of the primary key. It needs `entity`. Default: the first. */
  readonly from?: unknown;
  /** Only entities up to this id, and that one. It needs `entity`. Default: the last. */
  readonly to?: unknown;
}

/** A call of `SparkService.sweep`, checked. */
export interface SweepCall {
  readonly chosen: (source: Source) => boolean;
  readonly speed: Partial<SweepSpeed>;
  readonly full: boolean;
  /** Undefined means all. */
  readonly some: SomeKeys | undefined;
}

const METHOD = 'SparkService.sweep';
const option = (name: string): string => `${METHOD} { ${name} }`;

/** Checks the options of a sweep. Throws InvalidOptionsError, NoSourceError, UnknownEntityError, and TypeError for an invalid id. */
export function sweepGiven(spark: Spark, options: SweepCallOptions): SweepCall {
  refuseUnknown(METHOD, options, ['entity', 'concurrency', 'rate', 'full', 'ids', 'from', 'to'], option);
  const { entity, concurrency, rate, full = false } = options;
  const chosen = entity === undefined ? () => true : sourcesGiven(spark, METHOD, entity);
  const speed = {
    ...(concurrency === undefined ? {} : { concurrency: positiveInteger(option('concurrency'), concurrency) }),
    ...(rate === undefined ? {} : { rate: positiveInteger(option('rate'), rate) }),
  };
  parseBoolean(option('full'), full);
  return { chosen, speed, full, some: someGiven(spark, options) };
}

function someGiven(spark: Spark, { entity, ids, from, to }: SweepCallOptions): SomeKeys | undefined {
  const given = Object.entries({ ids, from, to }).find(([, value]) => value !== undefined);
  if (!given) return undefined;
  const [name, value] = given;
  if (entity === undefined) throw new InvalidOptionsError(option(name), value, 'the entity of the ids beside it');
  const metadata = metadataGiven(spark, METHOD, entity);
  const key = (id: unknown) => keyGiven(spark, METHOD, metadata, id);
  const bound = (id: unknown) => (id === undefined ? undefined : key(id));
  if (ids === undefined) return { from: bound(from), to: bound(to) };
  if (!Array.isArray(ids)) throw new InvalidOptionsError(option('ids'), ids, 'a list of ids');
  if (from !== undefined || to !== undefined)
    throw new InvalidOptionsError(option('ids'), ids, 'either ids, or from and to');
  return { ids: [...new Set(ids.map(key))] };
}

/** Returns the present name of a source. Throws UnknownSourceError. */
export async function sourceNameGiven({ dataSource, sources, tables }: Spark, name: string): Promise<string> {
  const source = sources.named(name);
  if (source) return source.name;
  const rows = await select<{ source: string }>(dataSource.manager, `SELECT source FROM ${tables.sweep}`);
  const swept = rows.map((row) => row.source);
  if (swept.includes(name)) return name;
  throw new UnknownSourceError(name, [...new Set([...sources.all().map((one) => one.name), ...swept])].sort());
}
