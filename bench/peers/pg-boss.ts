import pg from 'pg';
import PgBoss from 'pg-boss';
import type { Peer } from './peer.js';

const QUEUE = 'noop';

/** pg-boss: batches, fetched as often as it allows. */
export async function pgBoss(connectionString: string, batchSize = 2_000, workers = 5): Promise<Peer> {
  const boss = new PgBoss({ connectionString, max: 20, supervise: false, schedule: false });
  boss.on('error', (error) => console.error(error));
  await boss.start();
  return {
    async reset() {
      await boss.createQueue(QUEUE);
      await boss.purgeQueue(QUEUE);
    },
    async fill(count) {
      for (let sent = 0; sent < count; sent += 5_000) {
        const jobs = Array.from({ length: Math.min(5_000, count - sent) }, () => ({ name: QUEUE, data: { job: 0 } }));
        await boss.insert(jobs);
      }
      const client = new pg.Client({ connectionString });
      await client.connect();
      await client.query('VACUUM ANALYZE pgboss.job');
      await client.end();
    },
    async work(handled) {
      for (let i = 0; i < workers; i++)
        await boss.work<{ job: number }>(QUEUE, { batchSize, pollingIntervalSeconds: 0.5 }, async (jobs) => {
          for (const { data } of jobs) handled(data.job);
        });
    },
    async add(job, client) {
      const db = client && { executeSql: (text: string, values: unknown[]) => client.query(text, values) };
      await boss.send(QUEUE, { job }, db ? { db: db as never } : {});
    },
    async close() {
      await boss.stop({ graceful: false, wait: true });
    },
  };
}
