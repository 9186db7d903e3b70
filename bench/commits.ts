import { setTimeout as delay } from 'node:timers/promises';
import { DataSource } from 'typeorm';

// A PostgreSQL connection that does nothing reports its commits after ten seconds, in milliseconds.
const REPORTED = 11_000;

/** Counts the commits in a PostgreSQL database while work runs, without those of an idle time of the same length. */
export async function commitsDuring(url: string, work: () => Promise<unknown>): Promise<number> {
  const { pathname } = new URL(url);
  const elsewhere = new URL(url);
  elsewhere.pathname = '/postgres';
  const watch = await new DataSource({ type: 'postgres', url: elsewhere.href }).initialize();
  const count = async () => {
    const sql = 'SELECT xact_commit FROM pg_stat_database WHERE datname = $1';
    const [row] = await watch.query<{ xact_commit: string }[]>(sql, [pathname.slice(1)]);
    return Number(row!.xact_commit);
  };
  const during = async (one: () => Promise<unknown>) => {
    const [before, began] = [await count(), performance.now()];
    await one();
    await delay(REPORTED);
    return { commits: (await count()) - before, ms: performance.now() - began };
  };
  await delay(REPORTED);
  const idle = await during(async () => undefined);
  const busy = await during(work);
  await watch.destroy();
  return busy.commits - (idle.commits / idle.ms) * busy.ms;
}
