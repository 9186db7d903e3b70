import { types } from 'node:util';
import type { EntityTarget, ObjectLiteral } from 'typeorm';
import { parseBoolean, refuseUnknown } from '../config/option-parsers.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import type { PlanRequest, PlanWatch } from '../inspect/planned.js';
import type { Spark } from './create-spark.js';
import { keyGiven, metadataGiven, sourcesGiven } from './spark.arguments.js';

/** Options of a plan. */
export interface PlanOptions extends PlanWatch {
  /** Only this entity, and all sources of its table. Default: all that have sources. */
  readonly entity?: EntityTarget<ObjectLiteral>;
  /** Only the entity of this id. It needs `entity`. Default: all. */
  readonly id?: unknown;
  /** The end of the plan. Default: now. */
  readonly at?: Date;
  /** Whether to return counts and samples in place of each event: see {@link PlanSummaryOptions}. Default: false. */
  readonly summary?: false;
}

/** Options of a summary of a plan. */
export interface PlanSummaryOptions extends PlanWatch {
  readonly summary: true;
  /** Only this entity, and all sources of its table. Default: all that have sources. */
  readonly entity?: EntityTarget<ObjectLiteral>;
  /** The end of the plan. Default: now. */
  readonly at?: Date;
}

const METHOD = 'SparkService.plan';
const option = (name: string): string => `${METHOD} { ${name} }`;

/** Checks the options of a plan. Throws InvalidOptionsError, NoSourceError, UnknownEntityError, and TypeError for an invalid id. */
export function planGiven(spark: Spark, options: PlanOptions | PlanSummaryOptions): PlanRequest {
  refuseUnknown(METHOD, options, ['entity', 'id', 'at', 'summary', 'onProgress', 'signal'], option);
  const { entity, id, at, summary = false } = options as PlanOptions;
  parseBoolean(option('summary'), summary);
  checkWatch(options, summary);
  const now = spark.clock.now();
  if (at !== undefined && !(types.isDate(at) && at.getTime() >= now))
    throw new InvalidOptionsError(`${METHOD} at`, at, 'a Date that is not past');
  if (entity === undefined && id !== undefined) throw new TypeError(`${METHOD} needs the entity of the id.`);
  if (entity !== undefined) sourcesGiven(spark, METHOD, entity);
  const metadata = entity && metadataGiven(spark, METHOD, entity);
  const key = metadata && id !== undefined ? keyGiven(spark, METHOD, metadata, id) : undefined;
  const entities = metadata ? [metadata] : spark.sources.roots();
  return { entities, id: key, now, end: at?.getTime() ?? now };
}

function checkWatch(options: PlanOptions | PlanSummaryOptions, isSummary: boolean): void {
  const { id, onProgress, signal } = options as PlanSummaryOptions & PlanOptions;
  if (isSummary && id !== undefined)
    throw new InvalidOptionsError(
      option('id'),
      id,
      'no id beside summary: without summary, plan lists the events of one entity',
    );
  if (onProgress !== undefined && typeof onProgress !== 'function')
    throw new InvalidOptionsError(option('onProgress'), onProgress, 'a function');
  if (signal !== undefined && !((signal as unknown) instanceof AbortSignal))
    throw new InvalidOptionsError(option('signal'), signal, 'an AbortSignal');
}
