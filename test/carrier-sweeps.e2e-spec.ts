import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent } from 'nestjs-spark';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import type { TestApp } from './support/app.js';
import { Carried, type CarriedApp, gate } from './support/carried.js';
import { databases } from './support/databases.js';
import { MemoryCarrier, type MemoryCarrierOptions } from './support/memory-carrier.js';
import { Row } from './support/row.entity.js';

const RANGE = 5_000;
const ROWS = 3 * RANGE + 300;
/** How long a test waits for something that is not to happen, in ms. */
const REST = 200;

/** What each page of a source does. */
let onPage: (by: RowSource, first: number) => Promise<void> = async () => {};

@Injectable()
class RowSource {
  readonly read: number[] = [];

  @EventSource(Row, { batch: true, name: 'rows' })
  async rows(rows: Row[]) {
    this.read.push(...rows.map(({ id }) => id));
    await onPage(this, rows[0]!.id);
    return rows.map(({ id }) => sparkEvent('row', id));
  }
}

describe.each(databases)('ranges of a sweep as jobs of a carrier, on $name', (database) => {
  const on = new Carried(database);

  beforeEach(() => void (onPage = async () => {}));

  const start = (how: MemoryCarrierOptions | MemoryCarrier = {}, version?: string) =>
    on.start([RowSource], how, { worker: { leaseTtl: '900ms' }, ...(version && { version }) }, [Row]);
  /** One process that sweeps and asks others for help, and one that has the role work and never sweeps. */
  const startBoth = async () => {
    const sweeping = await start({ works: false });
    const helping = await start({ dispatches: false });
    await insert(sweeping, ROWS);
    return { sweeping, helping };
  };
  /** One process that has stopped its sweep in the first range and asked nobody, and one that can take ranges. */
  const startHalf = async () => {
    const sweeping = await on.startPlain([RowSource], { worker: { leaseTtl: '900ms' } }, [Row]);
    const helping = await start({ dispatches: false });
    await insert(sweeping, ROWS);
    await sweepHalf(sweeping);
    return { sweeping, helping };
  };
  /** Inserts rows up to an id. */
  const insert = async ({ dataSource }: TestApp, last: number, from = 1) => {
    for (let first = from; first <= last; first += 1_000) {
      const rows = Array.from({ length: Math.min(1_000, last - first + 1) }, (_, i) => `(${first + i}, 'new')`);
      await dataSource.query(`INSERT INTO ${dataSource.driver.escape('row')} VALUES ${rows.join(', ')}`);
    }
  };
  const sourceOf = ({ app }: TestApp) => app.get(RowSource);
  const readBy = (app: TestApp) => sourceOf(app).read;
  const take = ({ carrier }: CarriedApp) => carrier.port!.sweepRange('rows');
  const status = async ({ spark }: TestApp) => (await spark.status()).sources[0]!;
  const rangesIn = ({ dataSource }: TestApp) => dataSource.query('SELECT id FROM spark_sweep_range');
  const isEachReadOnce = (...apps: TestApp[]) => {
    const read = apps.flatMap(readBy);
    expect([read.length, new Set(read).size]).toEqual([ROWS, ROWS]);
  };
  /** Stops a sweep in its first range. */
  const sweepHalf = async ({ spark }: TestApp) => {
    const stopping = new AbortController();
    onPage = async () => stopping.abort();
    await spark.sweep({ signal: stopping.signal }).catch(() => undefined);
    onPage = async () => {};
  };

  it('a process that never sweeps sweeps some of them, and every row is read once', async () => {
    const { sweeping, helping } = await startBoth();
    onPage = async (by) => {
      if (by === sourceOf(sweeping)) await on.until(() => expect(readBy(helping)).not.toEqual([]), 20_000);
    };
    const report = await sweeping.spark.sweep();
    expect(report).toMatchObject({ subjects: readBy(sweeping).length, entered: readBy(sweeping).length, failed: 0 });
    expect(readBy(sweeping).length).toBeLessThan(ROWS);
    isEachReadOnce(sweeping, helping);
    expect(await status(sweeping)).toMatchObject({ finished: expect.any(Date), foundBySweep: ROWS });
    expect(await rangesIn(sweeping)).toEqual([]);
  });

  it('help is asked with each range that has others behind it, for 20 at most', async () => {
    const app = await start({ works: false });
    await insert(app, ROWS);
    await app.spark.sweep();
    expect(on.queue.asked.map(({ source }) => source)).toEqual(['rows', 'rows', 'rows']);
    for (const { count } of on.queue.asked) expect([count >= 1, count <= 20]).toEqual([true, true]);
  });

  it('nobody is asked with the last one, or in a sweep with a rate', async () => {
    const app = await start({ works: false });
    await insert(app, RANGE - 1);
    await app.spark.sweep();
    await insert(app, ROWS, RANGE);
    await app.spark.sweep({ rate: 1_000_000 });
    expect(on.queue.asked).toEqual([]);
    expect(new Set(readBy(app)).size).toBe(ROWS);
  });

  it('a process that helps begins no sweep', async () => {
    const { helping } = await startBoth();
    expect(await take(helping)).toBe(false);
    expect(readBy(helping)).toEqual([]);
    expect(await status(helping)).toMatchObject({ finished: undefined, sweeping: undefined });
  });

  it('a process that helps ends no sweep: that is left to one that sweeps', async () => {
    const { sweeping, helping } = await startHalf();
    for (let range = 1; range <= 4; range++) expect(await take(helping)).toBe(true);
    expect(await take(helping)).toBe(false);
    await sweeping.dataSource.query(
      `INSERT INTO spark_sweep_range (id, source, state, holder, held_until, subjects, found)
       VALUES ('ending', 'rows', 'ending', NULL, 0, 0, 0)`,
    );
    expect(await take(helping)).toBe(false);
    expect(await status(helping)).toMatchObject({ finished: undefined, sweeping: expect.any(Object) });
    readBy(sweeping).splice(0);
    // The call ends the sweep, and then sweeps once more.
    expect(await sweeping.spark.sweep()).toMatchObject({ subjects: ROWS, entered: 0, failed: 0 });
    expect(await status(helping)).toMatchObject({ finished: expect.any(Date), sweeping: undefined });
  });

  it('a process that helps takes none of another version, of a paused source, or of a source that it does not have', async () => {
    const { sweeping, helping } = await startHalf();
    const next = await start({ dispatches: false }, 'next');
    expect(await take(next)).toBe(false);
    expect(helping.carrier.port!.sources).toEqual(['rows']);
    expect(await helping.carrier.port!.sweepRange('others')).toBe(false);
    await sweeping.spark.pauseSweep('rows');
    expect(await take(helping)).toBe(false);
    expect([...readBy(helping), ...readBy(next)]).toEqual([]);
    await sweeping.spark.resumeSweep('rows');
    expect(await take(helping)).toBe(true);
  });

  it('a process that sweeps itself does not sweep more of them at once because of that', async () => {
    const app = await start();
    await insert(app, ROWS);
    let [running, most] = [0, 0];
    onPage = async () => {
      most = Math.max(most, ++running);
      await delay(10);
      running--;
    };
    expect(await app.spark.sweep()).toMatchObject({ subjects: ROWS, failed: 0 });
    expect(on.queue.asked.length).toBeGreaterThan(0);
    expect(most).toBe(1);
    isEachReadOnce(app);
  });

  it('a process that shuts down gives its range back at its next page', async () => {
    const { sweeping, helping } = await startBoth();
    const { opened, open } = gate();
    onPage = async (by) => {
      await (by === sourceOf(sweeping) ? opened : delay(REST));
    };
    const sweep = sweeping.spark.sweep();
    await on.until(() => expect(readBy(helping)).not.toEqual([]), 20_000);
    await helping.close();
    expect(readBy(helping).length).toBeLessThan(RANGE);
    const left = 'SELECT id FROM spark_sweep_range WHERE holder IS NULL';
    expect(await sweeping.dataSource.query(left)).toHaveLength(1);
    open();
    expect(await sweep).toMatchObject({ failed: 0 });
    expect(new Set([...readBy(sweeping), ...readBy(helping)]).size).toBe(ROWS);
    expect(await status(sweeping)).toMatchObject({ finished: expect.any(Date), foundBySweep: ROWS });
  });

  it('a paused process takes none until it starts again', async () => {
    const { helping } = await startHalf();
    await helping.spark.pause();
    const taking = take(helping);
    await delay(REST);
    expect(readBy(helping)).toEqual([]);
    await helping.spark.start();
    expect(await taking).toBe(true);
  });

  it('a process whose database does not answer takes none, and the carrier does not notice', async () => {
    const { helping } = await startHalf();
    await helping.dataSource.query('DROP TABLE spark_sweep_range');
    expect(await take(helping)).toBe(false);
  });

  it('a carrier that refuses them, or does not know them, keeps no sweep from its end', async () => {
    class Refusing extends MemoryCarrier {
      override sendRanges(): Promise<void> {
        throw new Error('refused');
      }
    }
    const refused = await start(new Refusing(on.queue));
    const unknown = await start(Object.assign(new MemoryCarrier(on.queue), { sendRanges: undefined }));
    await insert(refused, ROWS);
    for (const { spark } of [refused, unknown])
      expect(await spark.sweep()).toMatchObject({ subjects: ROWS, failed: 0 });
    expect(on.queue.asked).toEqual([]);
  });
});
