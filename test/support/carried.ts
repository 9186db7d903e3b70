import type { Provider } from '@nestjs/common';
import { sparkEvent, type SparkModuleOptions } from 'nestjs-spark';
import { afterEach, beforeEach, vi } from 'vitest';
import { startApp, type TestApp, type TestAppOptions } from './app.js';
import type { TestDatabase, TestDatabases } from './databases.js';
import { MemoryCarrier, type MemoryCarrierOptions, MemoryQueue } from './memory-carrier.js';

/** A delivery in the table. */
export interface CarriedRow {
  readonly event_key: string;
  readonly state: string;
  readonly attempt: number;
  readonly suspect: number;
  readonly claimed_by: string | null;
  readonly due_at: number;
}

/** An application whose deliveries are carried. */
export interface CarriedApp extends TestApp {
  readonly carrier: MemoryCarrier;
}

/** Applications on a database of each test, which share a queue in memory. */
export class Carried {
  db: TestDatabase;
  queue: MemoryQueue;
  /** What handlers have been called with, in their order. */
  calls: string[];
  private apps: TestApp[];

  constructor(database: TestDatabases) {
    beforeEach(async () => {
      this.db = await database.create();
      this.queue = new MemoryQueue();
      this.calls = [];
      this.apps = [];
    });
    afterEach(async () => {
      for (const app of this.apps) await app.close();
      await this.db.drop();
    });
  }

  /** Starts an application with a carrier. */
  async start(
    providers: Provider[],
    how: MemoryCarrierOptions | MemoryCarrier = {},
    spark: SparkModuleOptions = {},
    entities: TestAppOptions['entities'] = [],
  ): Promise<CarriedApp> {
    const carrier = how instanceof MemoryCarrier ? how : new MemoryCarrier(this.queue, how);
    const options = { ...spark, worker: { ...spark.worker, carrier } };
    return { ...(await this.startPlain(providers, options, entities)), carrier };
  }

  /** Starts an application without one, unless the options name it. */
  async startPlain(
    providers: Provider[],
    spark: SparkModuleOptions = {},
    entities: TestAppOptions['entities'] = [],
  ): Promise<TestApp> {
    const worker = spark.worker === false ? (false as const) : { pollInterval: '30ms', ...spark.worker };
    const app = await startApp({ database: this.db, entities, providers, spark: { ...spark, worker } });
    this.apps.push(app);
    return app;
  }

  /** Emits the events `<group>_1`, `<group>_2` and so on. */
  async emit({ spark }: TestApp, group: string, count = 1): Promise<void> {
    await spark.emit(Array.from({ length: count }, (_, i) => sparkEvent(group, i + 1)));
  }

  /** All deliveries, by key. */
  async rows({ dataSource }: TestApp): Promise<CarriedRow[]> {
    const rows: CarriedRow[] = await dataSource.query(
      `SELECT e.event_key, d.state, d.attempt, d.suspect, d.claimed_by, d.due_at
       FROM spark_delivery d JOIN spark_event e ON e.id = d.event_id ORDER BY e.id, d.id`,
    );
    return rows.map((row) => ({
      ...row,
      attempt: Number(row.attempt),
      suspect: Number(row.suspect),
      due_at: Number(row.due_at),
    }));
  }

  /** The states of all deliveries: `key state attempt`. */
  async states(app: TestApp): Promise<string[]> {
    return (await this.rows(app)).map(({ event_key: key, state, attempt }) => `${key} ${state} ${attempt}`);
  }

  until(check: () => void | Promise<void>, timeout = 10_000): Promise<void> {
    return vi.waitFor(check, { timeout, interval: 10 });
  }
}

/** Resolves when it is told to. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open: () => open() };
}
