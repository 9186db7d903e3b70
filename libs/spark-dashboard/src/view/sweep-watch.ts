import { Logger } from '@nestjs/common';
import type { SparkService, SweepProgress, SweepReport } from 'nestjs-spark';
import type { Subscription } from 'rxjs';
import { stackOf } from './stack-of.js';

/** Knows how far the sweeps of this process are, and starts sweeps that go on when the request has ended. */
export class SweepWatch {
  private readonly logger = new Logger('Spark');
  private readonly latest = new Map<string, SweepProgress>();
  private readonly started = new Set<string>();
  private readonly failed = new Set<string>();
  private subscription: Subscription | undefined;

  /** Begins to follow the sweeps of a SparkService. Later calls do nothing. */
  follow(spark: SparkService): void {
    this.subscription ??= spark.sweeps$.subscribe((progress) => void this.latest.set(progress.source, progress));
  }

  end(): void {
    this.subscription?.unsubscribe();
  }

  /** The progress of a source's sweep in this process; undefined if none is running. */
  progressOf(source: string): SweepProgress | undefined {
    const progress = this.latest.get(source);
    return progress?.done ? undefined : progress;
  }

  /** Whether a sweep of the entity that was started here is running. */
  isRunning(entity: string): boolean {
    return this.started.has(entity);
  }

  /** Whether the last sweep of the entity that was started here has failed. */
  hasFailed(entity: string): boolean {
    return this.failed.has(entity);
  }

  /**
   * Starts a sweep of an entity's sources, and does not wait for it.
   *
   * @returns What comes of it. It never rejects, so nobody has to wait for it.
   */
  start(spark: SparkService, entity: string): Promise<SweepReport | Error> {
    this.started.add(entity);
    this.failed.delete(entity);
    return spark
      .sweep({ entity })
      .catch((error: unknown) => {
        this.failed.add(entity);
        this.logger.error(`A sweep of ${entity} that was started in the dashboard has failed.`, stackOf(error));
        return error instanceof Error ? error : new Error(String(error));
      })
      .finally(() => this.started.delete(entity));
  }
}
