import { SparkTestKit } from 'nestjs-spark/testing';
import type { DataSource } from 'typeorm';
import { vi } from 'vitest';
import { startApp, type TestApp, type TestAppOptions } from './app.js';
import { Crash } from './crash.js';

/** What tests use of a process's lease, by which it claims deliveries. */
interface Lease {
  /** It is renewed by a connection of its own, which dies with its process. */
  readonly connection: { readonly opening?: Promise<DataSource> };
  stop(): Promise<void>;
  rescue(): Promise<void>;
}

/** A process of a test that can die. Its application has a TestClock. */
export class Mortal {
  readonly crash: Crash;
  readonly kit: SparkTestKit;
  private readonly lease: Lease;

  private constructor(private readonly app: TestApp) {
    this.crash = new Crash(app.dataSource);
    this.kit = new SparkTestKit(app.app);
    ({ lease: this.lease } = (app.spark as unknown as { spark: { lease: Lease } }).spark);
  }

  static async start(options: TestAppOptions): Promise<Mortal> {
    return new Mortal(await startApp(options));
  }

  get spark() {
    return this.app.spark;
  }

  get dataSource() {
    return this.app.dataSource;
  }

  close(): Promise<void> {
    return this.app.close();
  }

  /** Works, and returns whether the process was alive at the end. If it was not, nothing of it runs any more. */
  async survives(work: () => Promise<unknown>): Promise<boolean> {
    const working = work();
    const ended = working.then(
      () => undefined,
      () => undefined,
    );
    await Promise.race([ended, this.crash.happened]);
    if (!this.crash.hasHappened) {
      await working;
      return true;
    }
    await this.die([working]);
    return false;
  }

  /** Lets no more statements through. Resolves when all that the process was at has ended. */
  async die(work: readonly Promise<unknown>[]): Promise<void> {
    const ended = Promise.allSettled(work);
    this.crash.after(0);
    const own = await this.lease.connection.opening;
    if (own) new Crash(own).after(0);
    // It would go on trying to write down what became of deliveries.
    await this.lease.stop().catch(() => undefined);
    await ended;
    await this.app.close().catch(() => this.dataSource.destroy());
  }

  /**
   * Takes over what a dead process had claimed, as when its leases have run out. All other processes are at nothing.
   *
   * @returns the keys of the events that were being handled
   */
  async takeOver(): Promise<string[]> {
    const query = (sql: string): Promise<{ event_key: string }[]> => this.dataSource.query(sql);
    const running = `SELECT e.event_key FROM spark_event e JOIN spark_delivery d ON d.event_id = e.id WHERE d.state = 'running'`;
    const handled = await query(running);
    await query(
      `UPDATE spark_worker SET lease_until = 0 WHERE id IN (SELECT claimed_by FROM spark_delivery WHERE state = 'running')`,
    );
    await query('UPDATE spark_sweep SET held_until = 0');
    await query('UPDATE spark_sweep_range SET held_until = 0');
    await query('UPDATE spark_recheck SET taken_until = 0 WHERE taken_until IS NOT NULL');
    await vi.waitFor(async () => {
      await this.lease.rescue();
      const left = await query(running);
      if (left.length > 0) throw new Error(`claimed by a process that is gone: ${JSON.stringify(left)}`);
    }, 10_000);
    return handled.map(({ event_key: key }) => key);
  }
}
