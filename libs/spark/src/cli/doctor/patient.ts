import type { QueryRunner } from 'typeorm';
import type { DatabaseFacts } from '../../database/facts.js';
import { factsOf } from '../../database/facts-of.js';
import { withNewRunner } from '../../database/statement.js';
import { healthOf, type SparkHealth } from '../../inspect/health.js';
import { sourcesOf, type SourceStatus } from '../../inspect/status.js';
import type { Spark } from '../../runtime/create-spark.js';
import type { Found } from './finding.js';

/** What is known of an application at rest. */
export interface ExaminedApplication {
  /** The file of its module. */
  readonly moduleFile: string;
  /** Whether something of it listens for SIGTERM. */
  readonly listens: boolean;
}

/** What the checks of the doctor examine. Figures that several checks need are read once. */
export class Patient {
  readonly facts: DatabaseFacts;
  private readHealth: Promise<SparkHealth> | undefined;
  private readSources: Promise<SourceStatus[]> | undefined;

  constructor(
    readonly spark: Spark,
    /** Undefined if only the tables are known. */
    readonly application: ExaminedApplication | undefined,
  ) {
    this.facts = factsOf(spark.dataSource, spark.tables);
  }

  health(): Promise<SparkHealth> {
    return (this.readHealth ??= healthOf(this.spark, {}));
  }

  sources(): Promise<SourceStatus[]> {
    return (this.readSources ??= this.reading(({ manager }) => sourcesOf(manager, this.spark)));
  }

  /** Reads a fact of the database, and judges it. There is nothing to judge on a database without it. */
  async judged<F>(
    read: (facts: DatabaseFacts, runner: QueryRunner) => Promise<F> | undefined,
    judge: (fact: F) => Found[],
  ): Promise<Found[]> {
    const fact = await this.reading(async (runner) => read(this.facts, runner));
    return fact === undefined ? [] : judge(fact);
  }

  /** Runs reads on a connection of their own. */
  reading<T>(work: (runner: QueryRunner) => Promise<T>): Promise<T> {
    return withNewRunner(this.spark.dataSource, work);
  }
}
