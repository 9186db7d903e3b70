import type { DataSource } from 'typeorm';
import type { Spark } from '../../runtime/create-spark.js';
import type { SparkService } from '../../spark.service.js';

/** An open connection of a command: to a DataSource, or to an application that rests. */
export interface Session {
  readonly dataSource: DataSource;
  readonly service: SparkService;
  /** The parts behind the service. */
  readonly spark: Spark;
  /** Whether it is a whole application, which has its sources and handlers. */
  readonly isApplication: boolean;
  close(): Promise<void>;
}

/** An application that works for a command. */
export interface Workforce {
  /** The SparkServices of all its SparkModules, or that of the named DataSource. */
  readonly services: readonly SparkService[];
  close(): Promise<void>;
}
