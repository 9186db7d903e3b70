import type { DataSource } from 'typeorm';
import { SparkLog } from '../common/spark-log.js';
import { type SparkClock, SystemClock } from '../common/clock.js';
import type { Dialect } from '../database/dialect.js';
import { select } from '../database/statement.js';

/** The parts that the comparison of the process's clock with the database's needs. */
interface Compared {
  readonly dataSource: DataSource;
  readonly dialect: Dialect;
  readonly clock: SparkClock;
}

/** Adjusts Spark's clock in this process to the database's clock, and warns if the two differ by much. */
export async function compareClocks({ dataSource, dialect, clock }: Compared): Promise<void> {
  if (!(clock instanceof SystemClock)) return;
  const asked = Date.now();
  const [row] = await select<{ now: string }>(dataSource.manager, `SELECT ${dialect.clock} AS now`);
  const offset = clock.compare(Number(row!.now), asked, Date.now());
  if (offset === undefined) return;
  new SparkLog().warn(`The database's clock is ${offset} ms ahead of this process's; Spark uses the database's.`, {
    offsetMs: offset,
  });
}
