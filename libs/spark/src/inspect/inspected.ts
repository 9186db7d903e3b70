import type { DataSource } from 'typeorm';
import type { SparkClock } from '../clock.js';
import type { DeliveryDesk } from '../delivery/delivery-desk.js';
import type { HeldDeliveries } from '../delivery/held-deliveries.js';
import type { Dialect } from '../dialect/dialect.js';
import type { TableNames } from '../dialect/table-names.js';
import type { Transactions } from '../dialect/transactions.js';
import type { ContextCodec } from '../event/context-codec.js';
import type { RegisteredHandlers } from '../handler/registered-handlers.js';
import type { Worker } from '../pipeline/worker.js';
import type { SourceRegistry } from '../source/source.registry.js';
import type { SparkSettings } from '../spark.settings.js';
import type { DataSourceEntities } from '../subject/entity-lookup.js';
import type { Counters } from './counters.js';

/** The parts of a module that `status`, `plan` and `explain` read. */
export interface Inspected {
  readonly dataSource: DataSource;
  readonly settings: SparkSettings;
  readonly clock: SparkClock;
  readonly tables: TableNames;
  readonly dialect: Dialect;
  readonly transactions: Transactions;
  readonly entities: DataSourceEntities;
  readonly sources: SourceRegistry;
  readonly registered: RegisteredHandlers;
  readonly codec: ContextCodec;
  readonly worker: Worker;
  readonly desk: DeliveryDesk;
  readonly held: HeldDeliveries;
  readonly counters: Counters;
}
