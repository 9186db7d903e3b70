import type { EntityTarget, ObjectLiteral } from 'typeorm';
import { parseBoolean, positiveInteger, refuseUnknown } from '../config/option-parsers.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { UnknownSourceError } from '../error/unknown-source.error.js';
import { select } from '../database/statement.js';
import type { Source } from '../source/source.js';
import type { SomeKeys } from '../sweep/pages.js';
import type { SweepCallLimits } from '../sweep/sweep.js';
import type { Spark } from './create-spark.js';
import { keyGiven, metadataGiven, sourcesGiven } from './spark.arguments.js';

/** Options of `SparkService.baseline`. */
export interface BaselineOptions {
  /** How many ranges of a table this process sweeps at the same time. Default: the module's `sweep.concurrency`, 1. */
  readonly concurrency?: number;
  /** How many entities a second this process reads at most. Default: the module's `sweep.rate`, no limit. */
  readonly rate?: number;
  /**
   * Ends the call at the next page: the call throws the signal's reason. What it has found stays, and the next whole sweep goes on from
   * there. Default: none.
   */
  readonly signal?: AbortSignal;
}

/** Options of `SparkService.sweep`. */
export interface SweepCallOptions extends BaselineOptions {
  /** Only the sources of this entity. Default: all. */
  readonly entity?: EntityTarget<ObjectLiteral>;
  /** Only the source of this name, or of this former name. Default: all. */
  readonly source?: string;
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
  readonly limits: SweepCallLimits;
  readonly full: boolean;
  /** Undefined means all. */
  readonly some: SomeKeys | undefined;
}

const METHOD = 'SparkService.sweep';
const option = (name: string): string => `${METHOD} { ${name} }`;
const LIMITS = ['concurrency', 'rate', 'signal'];

/**
 * Checks the options of a sweep. Throws InvalidOptionsError, NoSourceError, UnknownEntityError, UnknownSourceError, and TypeError for an
 * invalid id.
 */
export function sweepGiven(spark: Spark, options: SweepCallOptions): SweepCall {
  refuseUnknown(METHOD, options, ['entity', 'source', 'full', 'ids', 'from', 'to', ...LIMITS], option);
  const { full = false } = options;
  const chosen = chosenGiven(spark, options);
  parseBoolean(option('full'), full);
  return { chosen, limits: limitsGiven(METHOD, options), full, some: someGiven(spark, options) };
}

/** Checks the options of a baseline. Throws InvalidOptionsError. */
export function baselineGiven(options: BaselineOptions): SweepCallLimits {
  const method = 'SparkService.baseline';
  refuseUnknown(method, options, LIMITS, (name) => `${method} { ${name} }`);
  return limitsGiven(method, options);
}

function limitsGiven(method: string, { concurrency, rate, signal }: BaselineOptions): SweepCallLimits {
  const of = (name: string) => `${method} { ${name} }`;
  if (signal !== undefined && !((signal as unknown) instanceof AbortSignal))
    throw new InvalidOptionsError(of('signal'), signal, 'an AbortSignal');
  return {
    ...(concurrency === undefined ? {} : { concurrency: positiveInteger(of('concurrency'), concurrency) }),
    ...(rate === undefined ? {} : { rate: positiveInteger(of('rate'), rate) }),
    ...(signal === undefined ? {} : { signal }),
  };
}

function chosenGiven(spark: Spark, { entity, source }: SweepCallOptions): (source: Source) => boolean {
  const isOfEntity = entity === undefined ? () => true : sourcesGiven(spark, METHOD, entity);
  if (source === undefined) return isOfEntity;
  if (typeof source !== 'string') throw new InvalidOptionsError(option('source'), source, 'the name of a source');
  const { sources } = spark;
  const named = sources.named(source);
  if (!named)
    throw new UnknownSourceError(
      source,
      sources.all().map(({ name }) => name),
    );
  if (!isOfEntity(named)) throw new InvalidOptionsError(option('source'), source, 'a source of the entity beside it');
  return (one) => one === named;
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
