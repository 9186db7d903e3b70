import type { DataSource } from 'typeorm';
import type { SparkClock } from '../common/clock.js';
import type { Activation } from '../store/activation.js';
import type { Conditions } from '../store/conditions.js';
import type { DeliveryAdmin } from '../store/delivery-admin.js';
import type { FailedAttempts } from '../store/failed-attempts.js';
import type { HandlerPauses } from '../store/handler-pauses.js';
import type { Adoption } from '../store/adoption.js';
import type { HeldDeliveries } from '../store/held-deliveries.js';
import type { Dialect } from '../database/dialect.js';
import type { TableNames } from '../database/table-names.js';
import type { Transactions } from '../database/transactions.js';
import type { ContextCodec } from '../event/context-codec.js';
import type { RegisteredHandlers } from '../store/registered-handlers.js';
import type { Handling } from '../deliver/handling.js';
import type { SourceRegistry } from '../source/source.registry.js';
import type { SparkSettings } from '../config/spark.settings.js';
import type { DataSourceEntities } from '../entity/entity-lookup.js';
import type { Counters } from '../common/counters.js';
import type { HandlerRegistry } from '../handler/handler.registry.js';
import type { WorkerLease } from '../store/worker-lease.js';

/** The parts of a module that `status`, `health`, `plan` and `explain` read. */
export interface Inspected {
  readonly dataSource: DataSource;
  readonly settings: SparkSettings;
  readonly clock: SparkClock;
  readonly tables: TableNames;
  readonly dialect: Dialect;
  readonly transactions: Transactions;
  readonly entities: DataSourceEntities;
  readonly sources: SourceRegistry;
  readonly conditions: Conditions;
  readonly handlers: HandlerRegistry;
  readonly registered: RegisteredHandlers;
  readonly handlerPauses: HandlerPauses;
  readonly codec: ContextCodec;
  readonly handling: Handling;
  /** Starts the rounds of the worker. */
  readonly workerTicker: { readonly isStarted: boolean };
  readonly lease: WorkerLease;
  readonly admin: DeliveryAdmin;
  readonly adoption: Adoption;
  readonly held: HeldDeliveries;
  readonly activation: Activation;
  readonly failedAttempts: FailedAttempts;
  readonly counters: Counters;
}
