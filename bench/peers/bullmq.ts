import { Queue, Worker } from 'bullmq';
import type { Peer } from './peer.js';

const QUEUE = 'spark-bench';

/** BullMQ: one worker with much concurrency, and jobs that are removed once done. */
export async function bullmq(url = process.env.TEST_REDIS_URL ?? 'redis://127.0.0.1:6379'): Promise<Peer> {
  const { hostname, port } = new URL(url);
  const connection = { host: hostname, port: Number(port || 6379), maxRetriesPerRequest: null };
  const queue = new Queue(QUEUE, { connection, defaultJobOptions: { removeOnComplete: true, removeOnFail: true } });
  let worker: Worker | undefined;
  return {
    async reset() {
      await queue.obliterate({ force: true });
    },
    async fill(count) {
      for (let sent = 0; sent < count; sent += 5_000) {
        const jobs = Array.from({ length: Math.min(5_000, count - sent) }, () => ({ name: 'noop', data: { job: 0 } }));
        await queue.addBulk(jobs);
      }
    },
    async work(handled) {
      worker = new Worker<{ job: number }>(QUEUE, async ({ data }) => handled(data.job), {
        connection,
        concurrency: 200,
      });
      await worker.waitUntilReady();
    },
    async add(job) {
      await queue.add('noop', { job });
    },
    async close() {
      await worker?.close();
      await queue.close();
    },
  };
}
