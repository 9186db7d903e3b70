import { Injectable } from '@nestjs/common';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { SparkLog } from '../common/spark-log.js';
import { NotStartedError, type SparkHealth, SparkRegistry, type SparkService } from '../index.js';
import { HealthHistory } from './health-history.js';
import { type HealthSettings, settingsOf, type SparkHealthOptions } from './health-options.js';
import { type HealthProblem, problemsOf } from './health-problems.js';

/** What an indicator keeps of a SparkService between checks. */
interface Watched {
  readonly history: HealthHistory;
  /** Reads that are running, by what they read. */
  readonly reads: Map<number, Promise<SparkHealth>>;
  /** Whether the last read failed, and that was logged. */
  isLogged: boolean;
}

/**
 * Tells Terminus whether Spark is well. List it among the providers of a module that imports `TerminusModule`.
 *
 * The result is `up`, `degraded` or `down`. `degraded` keeps the answer 200. It is `down` if the database does not answer in time.
 *
 * @example
 * @Controller('health')
 * export class HealthController {
 *   constructor(
 *     private readonly health: HealthCheckService,
 *     private readonly spark: SparkHealthIndicator,
 *   ) {}
 *
 *   @Get()
 *   @HealthCheck()
 *   check() {
 *     return this.health.check([() => this.spark.check('spark', { backlog: { degraded: '5m', down: '1h' } })]);
 *   }
 * }
 */
@Injectable()
export class SparkHealthIndicator {
  private readonly logger = new SparkLog();
  private readonly watched = new WeakMap<SparkService, Watched>();

  constructor(
    private readonly registry: SparkRegistry,
    private readonly indicator: HealthIndicatorService,
  ) {}

  /**
   * Reads the figures of a SparkService, and compares them with their limits.
   *
   * @param key The key of the result.
   * @param options The limits, the time-out, and the DataSource: see {@link SparkHealthOptions}.
   * @returns The status. `problems` has each figure that is above its limit, with what to do; `paused` has the handlers that are paused. The
   * result has names of handlers, groups and sources, and no keys, no data of events and no error of the database: the log has that.
   * @throws InvalidOptionsError for an invalid option; UnknownDataSourceError if the DataSource has no SparkModule.
   *
   * @example
   * () => this.spark.check('spark', { held: false, timeout: '1s' })
   */
  async check<const Key extends string>(
    key: Key,
    options: SparkHealthOptions = {},
  ): Promise<HealthIndicatorResult<Key>> {
    const settings = settingsOf(options);
    const service = this.registry.get(settings.dataSource);
    const session = this.indicator.check(key);
    let health: SparkHealth | undefined;
    const started = performance.now();
    const result = await session
      .attempt(async () => void (health = await this.read(service, settings)))
      .withTimeout(settings.timeout);
    if (!health || result[key].status === 'down') return result;
    const problems = this.judge(service, health, settings);
    const data = { ...dataOf(problems, health), responseTime: Math.round(performance.now() - started) };
    if (problems.some(({ status }) => status === 'down')) return session.down(data);
    return problems.length > 0 ? session.degraded(data) : session.up(data);
  }

  private judge(service: SparkService, health: SparkHealth, settings: HealthSettings): HealthProblem[] {
    const { history } = this.of(service);
    history.add(health);
    return problemsOf(health, history, settings);
  }

  /** Reads the figures. While the database does not answer, all checks wait for one read, so that they do not use up its connections. */
  private async read(service: SparkService, { discardedWithin }: HealthSettings): Promise<SparkHealth> {
    const watched = this.of(service);
    let read = watched.reads.get(discardedWithin);
    if (!read) {
      read = service.health({ discardedWithin }).finally(() => watched.reads.delete(discardedWithin));
      watched.reads.set(discardedWithin, read);
    }
    try {
      const health = await read;
      if (watched.isLogged) this.logger.log('The health check can read the tables again.');
      watched.isLogged = false;
      return health;
    } catch (error) {
      if (error instanceof NotStartedError) throw error;
      this.log(watched, error);
      // The answer may be public, and errors of drivers name hosts and users.
      throw new Error('Spark cannot read its tables. The log says why.', { cause: error });
    }
  }

  private log(watched: Watched, error: unknown): void {
    if (watched.isLogged) return;
    watched.isLogged = true;
    const reason = error instanceof Error ? error.message : String(error);
    this.logger.warn(
      `The health check cannot read the tables: ${JSON.stringify(reason.slice(0, 1_000))}. Spark logs this once, and again when it is over.`,
      { error },
    );
  }

  private of(service: SparkService): Watched {
    let watched = this.watched.get(service);
    if (!watched)
      this.watched.set(service, (watched = { history: new HealthHistory(), reads: new Map(), isLogged: false }));
    return watched;
  }
}

function dataOf(problems: readonly HealthProblem[], { paused }: SparkHealth) {
  return {
    ...(problems.length > 0 ? { problems } : {}),
    ...(paused.length > 0 ? { paused: paused.map(({ handler }) => handler) } : {}),
  };
}
