import type { AlertMetadata } from '../alert/on-spark-alert.decorator.js';
import { ALERT_CONDITIONS } from '../config/alert.settings.js';
import { checkBackoff } from '../config/backoff.js';
import { AmbiguousDataSourceError } from '../error/ambiguous-data-source.error.js';
import { DuplicateEntityError } from '../error/duplicate-entity.error.js';
import { poolSize, SPARE } from '../database/pool-size.js';
import { hasOneConnection } from '../database/traits.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { PoolTooSmallError } from '../error/pool-too-small.error.js';
import { UnknownDataSourceError } from '../error/unknown-data-source.error.js';
import { UnknownEntityError } from '../error/unknown-entity.error.js';
import { batchOf } from '../handler/batch-settings.js';
import { fleetLimitsOf, partitionByOf } from '../handler/fleet-limits.js';
import type { HandlerMetadata } from '../handler/group-handler.decorator.js';
import type { Spark } from './create-spark.js';
import { entityName } from '../error/entity-name.js';
import { parseBoolean, parsePriority, parseTimeout, positiveInteger, refuseUnknown } from '../config/option-parsers.js';
import type { History, SourceMetadata } from '../source/event-source.decorator.js';
import { codeOf } from '../source/source-code.js';
import type { Source } from '../source/source.js';
import type { Touch } from '../source/touch.js';
import { otherKeysOf } from '../entity/entity-table.js';
import { HOOKS } from '../interceptor/interceptors.js';
import type { InterceptorMetadata } from '../interceptor/spark-interceptor.decorator.js';
import { MissingHookError } from '../error/missing-hook.error.js';
import { checkKey } from '../entity/subject-ref.js';
import { checkReading } from '../entity/subjects.js';
import { touchedByRules } from '../source/touched-by.js';
import type { DecoratedClass, DecoratedMethod, DecoratedMethods } from './decorated-methods.js';

const SOURCE_OPTIONS = [
  'relations',
  'touchedBy',
  'where',
  'withDeleted',
  'query',
  'batch',
  'timeout',
  'live',
  'trueFor',
  'history',
  'dataSource',
  'name',
  'aliases',
];
const SOURCE_FLAGS = ['withDeleted', 'batch', 'live', 'trueFor'] as const;
const HISTORIES: readonly History[] = ['silent', 'held', 'deliver'];
const HANDLER_OPTIONS = [
  'name',
  'aliases',
  'maxAttempts',
  'backoff',
  'timeout',
  'concurrency',
  'rateLimit',
  'fleetConcurrency',
  'fairBy',
  'priority',
  'transactional',
  'revalidate',
  'missing',
  'batch',
  'dataSource',
];
const LONGEST_NAME = { source: 255, handler: 100 };

/** Finds the sources, handlers, interceptors and listeners of alerts of one SparkModule among the application's providers, and checks them. */
export class Explorer {
  constructor(
    private readonly methods: DecoratedMethods,
    private readonly spark: Spark,
    private readonly all: readonly Spark[],
  ) {}

  explore(): void {
    const decorated = this.methods.sources();
    const shared = new Map<unknown, number>();
    for (const { where } of decorated) shared.set(where, (shared.get(where) ?? 0) + 1);
    for (const method of decorated) {
      refuseUnknown(sourceOption('options', method.where), method.given.options, SOURCE_OPTIONS, (key) =>
        sourceOption(key, method.where),
      );
      if (this.sparkOf(method) === this.spark)
        this.spark.sources.add(this.source(method, shared.get(method.where)! > 1));
    }
    for (const method of this.methods.handlers()) this.addHandler(method);
    for (const interceptor of this.methods.interceptors()) this.addInterceptor(interceptor);
    for (const listener of this.methods.alertListeners()) this.addAlertListener(listener);
  }

  private source({ given, where, call, text, isAsync }: DecoratedMethod<SourceMetadata>, isShared: boolean): Source {
    const { dataSource, settings } = this.spark;
    const { entity, options } = given;
    const option = (key: string) => sourceOption(key, where);
    for (const key of SOURCE_FLAGS) if (options[key] !== undefined) parseBoolean(option(key), options[key]);
    const metadata = dataSource.getMetadata(entity);
    checkKey(dataSource, metadata, this.spark.dialect.longestKey);
    const [other] = otherKeysOf(metadata);
    if (other) throw new DuplicateEntityError(where, metadata.name, other.name, metadata.tablePath);
    const name = options.name ?? (isShared ? `${where}(${metadata.name})` : where);
    checkName(option('name'), name, LONGEST_NAME.source);
    checkAliases(option('aliases'), options.aliases, LONGEST_NAME.source);
    const { history = 'held' } = options;
    if (!HISTORIES.includes(history))
      throw new InvalidOptionsError(option('history'), history, `'silent', 'held' or 'deliver'`);
    const reads = options.relations ?? options.query ?? options.batch ?? metadata.eagerRelations.length > 0;
    const source = {
      name,
      where,
      metadata,
      options,
      call,
      text,
      code: codeOf({ metadata, options, text }),
      history,
      live: options.live ?? settings.live,
      timeout:
        options.timeout === undefined ? settings.sources.timeout : parseTimeout(option('timeout'), options.timeout),
      // Only a recheck compares what the source yields with what it has yielded before.
      ownRow: !reads && !isAsync && !options.trueFor,
      waits: isAsync || (options.batch ?? false),
    };
    checkReading(dataSource.manager, source);
    checkTouches(option('touchedBy'), options.touchedBy);
    touchedByRules(dataSource, source);
    return source;
  }

  private addHandler({
    given: { pattern, definitions, options },
    where,
    call,
  }: DecoratedMethod<HandlerMetadata>): void {
    const option = (key: string) => `${key} of @GroupHandler on ${where}`;
    refuseUnknown(option('options'), options, HANDLER_OPTIONS, option);
    const name = options.name ?? where;
    checkName(option('name'), name, LONGEST_NAME.handler);
    checkAliases(option('aliases'), options.aliases, LONGEST_NAME.handler);
    if (options.maxAttempts !== undefined) positiveInteger(option('maxAttempts'), options.maxAttempts);
    const timeout = parseTimeout(option('timeout'), options.timeout ?? this.spark.settings.worker.handlerTimeout);
    this.checkLimits(name, options, option);
    const limits = fleetLimitsOf(options, option);
    const partitionBy = partitionByOf(options, option);
    const batch = batchOf(options, option);
    if (options.revalidate !== undefined) parseBoolean(option('revalidate'), options.revalidate);
    if (options.backoff !== undefined) checkBackoff(options.backoff, option);
    if (options.missing !== undefined && !['discard', 'deliver'].includes(options.missing))
      throw new InvalidOptionsError(option('missing'), options.missing, `'discard' or 'deliver'`);
    if (!this.isMeant(where, options.dataSource)) return;
    this.spark.handlers.add({ name, where, pattern, definitions, options, timeout, limits, partitionBy, batch, call });
  }

  private addInterceptor({ given: { options }, where, instance }: DecoratedClass<InterceptorMetadata>): void {
    const option = (key: string) => `${key} of @SparkInterceptor on ${where}`;
    refuseUnknown(option('options'), options, ['dataSource'], option);
    const hooks = instance as Record<string, unknown>;
    const named = HOOKS.filter((hook) => hooks[hook] !== undefined);
    if (named.length === 0) throw new MissingHookError(where, HOOKS);
    for (const hook of named)
      if (typeof hooks[hook] !== 'function') throw new InvalidOptionsError(option(hook), hooks[hook], 'a method');
    if (this.isMeant(where, options.dataSource)) this.spark.interceptors.add(where, hooks);
  }

  private addAlertListener({ given: { conditions, options }, where, call }: DecoratedMethod<AlertMetadata>): void {
    const option = (key: string) => `${key} of @OnSparkAlert on ${where}`;
    refuseUnknown(option('options'), options, ['dataSource'], option);
    const isList = Array.isArray(conditions) && conditions.length > 0;
    const isKnown = isList && conditions.every((condition) => ALERT_CONDITIONS.includes(condition));
    if (conditions !== undefined && !isKnown)
      throw new InvalidOptionsError(option('conditions'), conditions, `some of ${ALERT_CONDITIONS.join(', ')}`);
    if (this.isMeant(where, options.dataSource)) this.spark.alertListeners.add({ name: where, conditions, call });
  }

  private checkLimits(name: string, options: HandlerMetadata['options'], option: (key: string) => string): void {
    const { dataSource, settings } = this.spark;
    const { concurrency, priority, transactional } = options;
    if (concurrency !== undefined) positiveInteger(option('concurrency'), concurrency);
    if (priority !== undefined) parsePriority(option('priority'), priority);
    if (transactional === undefined || !parseBoolean(option('transactional'), transactional)) return;
    if (hasOneConnection(dataSource) && !settings.sqlite.serialize)
      throw new InvalidOptionsError(option('transactional'), true, 'false if sqlite.serialize is false');
    const pool = poolSize(dataSource);
    if (pool < 3 || (concurrency ?? 1) > pool - SPARE) throw new PoolTooSmallError(name, concurrency ?? 1, pool);
  }

  /** The SparkModule that a source belongs to. */
  private sparkOf({ given: { entity, options }, where }: DecoratedMethod<SourceMetadata>): Spark {
    const meant = this.all.filter(
      (spark) => options.dataSource === undefined || spark.dataSourceName === options.dataSource,
    );
    if (meant.length === 0) throw new UnknownDataSourceError(where, options.dataSource!);
    const knowing = meant.filter(({ dataSource }) => dataSource.hasMetadata(entity));
    if (knowing.length > 1) {
      const names = knowing.map(({ dataSourceName }) => dataSourceName);
      throw new AmbiguousDataSourceError(where, entityName(entity), names);
    }
    if (!knowing[0]) throw new UnknownEntityError(`${where} is an event source of`, entityName(entity));
    return knowing[0];
  }

  private isMeant(where: string, dataSource: string | undefined): boolean {
    if (dataSource === undefined) return true;
    if (!this.all.some(({ dataSourceName }) => dataSourceName === dataSource))
      throw new UnknownDataSourceError(where, dataSource);
    return this.spark.dataSourceName === dataSource;
  }
}

const sourceOption = (key: string, where: string): string => `${key} of @EventSource on ${where}`;

function checkTouches(option: string, touches: unknown): void {
  if (touches === undefined) return;
  const isTouch = (touch: unknown) => typeof (Object(touch) as Partial<Touch>).key === 'function';
  if (Array.isArray(touches) && touches.every(isTouch)) return;
  throw new InvalidOptionsError(option, touches, 'a list of touch(Entity, (entity) => entity.column)');
}

function checkAliases(option: string, aliases: unknown, longest: number): void {
  if (aliases === undefined) return;
  if (!Array.isArray(aliases)) throw new InvalidOptionsError(option, aliases, 'a list of names');
  for (const alias of aliases) checkName(option, alias, longest);
}

function checkName(option: string, name: unknown, longest: number): void {
  if (typeof name === 'string' && name.length > 0 && name.length <= longest && isStorable(name)) return;
  throw new InvalidOptionsError(option, name, `text of 1 to ${longest} characters without NUL and lone surrogates`);
}

const isStorable = (name: string): boolean => name.isWellFormed() && !name.includes('\0');
