import { SparkLog } from '../common/spark-log.js';
import { NotStartedError, type SparkStatus } from '../index.js';

/** How old a status may be, in milliseconds. */
const SHORTEST = 5_000;
/** How much longer a status is kept than it took to read: reading it takes a twentieth of the time at most. */
const SHARE = 20;

/** The status of one SparkModule for metrics. Several readers share one reading, and a large backlog is counted less often. */
export class StatusCache {
  private readonly logger = new SparkLog();
  private status: SparkStatus | undefined;
  private until = -Infinity;
  private reading: Promise<SparkStatus | undefined> | undefined;
  private isFailing = false;

  constructor(
    private readonly dataSource: string,
    private readonly read: () => Promise<SparkStatus>,
  ) {}

  /** Returns the status; undefined if it cannot be read at present. It never throws. */
  async get(): Promise<SparkStatus | undefined> {
    if (performance.now() < this.until) return this.status;
    this.reading ??= this.readNow().finally(() => (this.reading = undefined));
    return this.reading;
  }

  private async readNow(): Promise<SparkStatus | undefined> {
    const started = performance.now();
    try {
      this.status = await this.read();
      this.isFailing = false;
    } catch (error) {
      this.status = undefined;
      this.report(error);
    }
    const ended = performance.now();
    this.until = ended + Math.max(SHORTEST, SHARE * (ended - started));
    return this.status;
  }

  private report(error: unknown): void {
    if (this.isFailing || error instanceof NotStartedError) return;
    this.isFailing = true;
    const { message } = error instanceof Error ? error : { message: String(error) };
    this.logger.warn(`Metrics lack the status of the DataSource ${this.dataSource}, which cannot be read: ${message}`, {
      dataSource: this.dataSource,
      error,
    });
  }
}
