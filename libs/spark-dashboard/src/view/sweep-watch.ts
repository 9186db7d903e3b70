import type { SparkService, SweepProgress, SweepReport } from 'nestjs-spark';
import type { Subscription } from 'rxjs';

/** Knows how far the sweeps of this process are, and starts sweeps that go on when the request has ended. */
export class SweepWatch {
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

  /** Sweeps an entity's sources, and remembers that meanwhile. */
  async start(spark: SparkService, entity: string): Promise<SweepReport> {
    this.started.add(entity);
    this.failed.delete(entity);
    try {
      return await spark.sweep({ entity });
    } catch (error) {
      this.failed.add(entity);
      throw error;
    } finally {
      this.started.delete(entity);
    }
  }
}
