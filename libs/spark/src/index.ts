export { OnSparkAlert, type OnSparkAlertOptions } from './alert/on-spark-alert.decorator.js';
export { SPARK_CLOCK, type SparkClock } from './common/clock.js';
export type { AlertCondition, AlertListener, AlertOption, AlertOptions, SparkAlert } from './config/alert.options.js';
export type { DeliveryReport } from './common/delivery-report.js';
export type { Backoff } from './config/backoff.js';
export type { CarriedDelivery, CarriedHandler, CarrierPort, DeliveryCarrier } from './config/carrier.js';
export { AmbiguousDataSourceError } from './error/ambiguous-data-source.error.js';
export { AtMostOnceError } from './error/at-most-once.error.js';
export { BootLockError } from './error/boot-lock.error.js';
export { ContextSchemaError, type SchemaVersions } from './error/context-schema.error.js';
export { DrainWithinError } from './error/drain-within.error.js';
export { DuplicateEntityError } from './error/duplicate-entity.error.js';
export { DuplicateHandlerError } from './error/duplicate-handler.error.js';
export { DuplicateModuleError } from './error/duplicate-module.error.js';
export { DuplicateSourceError } from './error/duplicate-source.error.js';
export { InterceptorTimeoutError } from './error/interceptor-timeout.error.js';
export { InvalidEventError, type InvalidEventOrigin } from './error/invalid-event.error.js';
export { InvalidOccurrenceError } from './error/invalid-occurrence.error.js';
export { InvalidOptionsError } from './error/invalid-options.error.js';
export { IncompleteTablesError } from './error/incomplete-tables.error.js';
export { MissingClientError } from './error/missing-client.error.js';
export { MissingHookError } from './error/missing-hook.error.js';
export { MissingMethodError } from './error/missing-method.error.js';
export { MissingPartError } from './error/missing-part.error.js';
export { MissingSchedulerError } from './error/missing-scheduler.error.js';
export { MissingSchemaError } from './error/missing-schema.error.js';
export { MissingTablesError } from './error/missing-tables.error.js';
export { NewerTablesError } from './error/newer-tables.error.js';
export { NextNotCalledError } from './error/next-not-called.error.js';
export { NoSourceError } from './error/no-source.error.js';
export { NoTransactionError } from './error/no-transaction.error.js';
export { NotAMethodError } from './error/not-a-method.error.js';
export { NotStartedError } from './error/not-started.error.js';
export { OlderTablesError } from './error/older-tables.error.js';
export { RequestScopedError } from './error/request-scoped.error.js';
export { SourceTimeoutError } from './error/source-timeout.error.js';
export { SourceLimitError } from './error/source-limit.error.js';
export { SparkError } from './error/spark.error.js';
export { SqliteCutOffError } from './error/sqlite-cut-off.error.js';
export { SqliteLockTimeoutError } from './error/sqlite-lock-timeout.error.js';
export { SqlitePlainBeginError } from './error/sqlite-plain-begin.error.js';
export { StaticMethodError } from './error/static-method.error.js';
export { UnknownColumnError } from './error/unknown-column.error.js';
export { UnknownDataSourceError } from './error/unknown-data-source.error.js';
export { UnknownEntityError } from './error/unknown-entity.error.js';
export { UnsupportedDatabaseError } from './error/unsupported-database.error.js';
export { UnsupportedKeyError } from './error/unsupported-key.error.js';
export {
  type ContextArguments,
  defineEvent,
  type DefineWithContext,
  type EventDefaults,
  type EventDefinition,
  type EventOf,
  type EventSchemaDefaults,
} from './event/event-definition.js';
export type { SchemaInput, SchemaIssue, SchemaOutput, SchemaResult, StandardSchema } from './event/standard-schema.js';
export { eachDay, eachMonth, eachValue, eachWeek } from './event/occurrence.js';
export { snapshot } from './event/snapshot.js';
export { type EventId } from './event/event-key.js';
export type { EventMetadata, JsonValue } from './event/event-metadata.js';
export type { EventSchedule } from './event/schedule.js';
export { type EventSubject, sparkEvent, type SparkEvent, type SparkEventOptions } from './event/spark-event.js';
export type { BatchOptions, BatchScope, QuietHours, SparkBatchHandler } from './handler/batch.js';
export { type BatchedEvent, BatchError } from './handler/batch.error.js';
export {
  type BatchHandlerOptions,
  GroupHandler,
  type GroupHandlerOptions,
  type RateLimit,
  type HandlerScope,
  type SparkHandler,
} from './handler/group-handler.decorator.js';
export {
  type InterceptedDelivery,
  type InterceptedSource,
  SparkInterceptor,
  type SparkInterceptorHooks,
  type SparkInterceptorOptions,
} from './interceptor/spark-interceptor.decorator.js';
export { getSparkToken, InjectSpark } from './inject-spark.decorator.js';
export type {
  ExplainedDelivery,
  ExplainedEvent,
  ExplainedSource,
  Explanation,
  YieldedEvent,
} from './inspect/explanation.js';
export type { PlannedGroup, PlannedHandler, PlannedProblems, PlanSummary, PlanTotal } from './inspect/plan-summary.js';
export type { Planned, PlannedCancellation, PlannedEvent, PlannedProblem, PlanWatch } from './inspect/planned.js';
export type { SparkCounts } from './common/counters.js';
export type {
  AttemptRecord,
  DeliveryRecord,
  ErrorRecord,
  EventRecord,
  Page,
  PageRequest,
  RecheckRecord,
} from './inspect/records.js';
export type {
  HandlerBacklog,
  HealthRequest,
  HeldGroup,
  RecentDiscards,
  SparkHealth,
  SweepHealth,
} from './inspect/health.js';
export type { HandlerLimits, HandlersRequest, HandlerStatus } from './inspect/handlers.js';
export type { HeldRequest, HeldSample } from './inspect/held.js';
export type { MinuteRate, RatesRequest, SparkRates } from './inspect/rates.js';
export type { SourceStatus, SparkStatus, WorkerStatus } from './inspect/status.js';
export { type SparkMigrationOptions, sparkMigrations } from './database/schema/migrations.js';
export type { RunningDelivery } from './deliver/handling.js';
export {
  EventSource,
  type EventSourceOptions,
  type SourceOutput,
  type SourceScope,
  type SparkSource,
} from './source/event-source.decorator.js';
export { touch, type Touch } from './source/touch.js';
export { SparkModule } from './spark.module.js';
export type {
  ActivationOptions,
  Duration,
  PostgresOptions,
  RetentionOptions,
  SourcesOptions,
  SparkDynamicOptions,
  SparkModuleAsyncOptions,
  SparkModuleOptions,
  SparkOptionsFactory,
  SparkStaticOptions,
  SqliteOptions,
  SweepOptions,
  SweepSchedule,
  WorkerOptions,
} from './config/spark.options.js';
export { type RegisteredSpark, SparkRegistry } from './spark.registry.js';
export { SparkService } from './spark.service.js';
export type { PlanOptions, PlanSummaryOptions } from './runtime/plan.arguments.js';
export type { SweepProgress, SweepReport } from './sweep/sweep-report.js';
export type { BaselineOptions, SweepCallOptions } from './runtime/sweep.arguments.js';
export type { BulkOptions, RedeliveryOptions } from './store/bulk-run.js';
export type { DeliveryFilter, Orphans } from './store/delivery-admin.js';
export type { Erased } from './store/event-admin.js';
export type { Replay } from './runtime/administration.js';
export { ChainTooDeepError } from './error/chain-too-deep.error.js';
export { DiscardDelivery } from './error/discard-delivery.error.js';
export { HandlerTimeoutError } from './error/handler-timeout.error.js';
export { LostLeaseError } from './error/lost-lease.error.js';
export { LostStatementError } from './error/lost-statement.error.js';
export { NotTransactionalError } from './error/not-transactional.error.js';
export { PoolTooSmallError } from './error/pool-too-small.error.js';
export { RetryLater } from './handler/retry-later.error.js';
export { RevokedManagerError } from './error/revoked-manager.error.js';
export { UnreadableContextError } from './error/unreadable-context.error.js';
export { UnusableResultError } from './error/unusable-result.error.js';
export { UnknownHistoryError } from './error/unknown-history.error.js';
export { UnknownSourceError } from './error/unknown-source.error.js';
export { UnknownHandlerError } from './error/unknown-handler.error.js';
export { WorkerStoppedError } from './error/worker-stopped.error.js';
export type { DeliveryState } from './database/delivery-states.js';
export type { All, DeliveryRecordFilter, EventFilter, RecheckFilter } from './store/record-filter.js';
