import { Logger, makeWorkerUtils, run, type Runner, type WorkerUtils } from 'graphile-worker';
import pg from 'pg';
import type { Peer } from './peer.js';

/** graphile-worker, as its page on performance has it: a local queue, and completions in batches. */
export async function graphileWorker(connectionString: string): Promise<Peer> {
  const logger = new Logger(() => () => undefined);
  const pool = new pg.Pool({ connectionString, max: 25 });
  pool.on('error', (error) => console.error(error));
  pool.on('connect', (client) => client.on('error', (error) => console.error(error)));
  const utils: WorkerUtils = await makeWorkerUtils({ pgPool: pool, logger });
  let runner: Runner | undefined;
  return {
    async reset() {
      await utils.migrate();
      await pool.query('TRUNCATE graphile_worker._private_jobs');
    },
    async fill(count) {
      for (let sent = 0; sent < count; sent += 5_000)
        await pool.query(
          `SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(
             SELECT json_populate_record(NULL::graphile_worker.job_spec, json_build_object('identifier', 'noop', 'payload', json_build_object('job', 0)))
             FROM generate_series(1, $1::int)))`,
          [Math.min(5_000, count - sent)],
        );
      await pool.query('VACUUM ANALYZE graphile_worker._private_jobs');
    },
    async work(handled) {
      runner = await run({
        noHandleSignals: true,
        pgPool: pool,
        taskList: { noop: async (payload) => handled((payload as { job: number }).job) },
        preset: {
          worker: {
            concurrentJobs: 24,
            maxPoolSize: 25,
            localQueue: { size: 500 },
            completeJobBatchDelay: 0,
            failJobBatchDelay: 0,
          },
        },
        logger,
      });
    },
    async add(job, client = pool) {
      await client.query(`SELECT graphile_worker.add_job('noop', $1::json)`, [JSON.stringify({ job })]);
    },
    async close() {
      await runner?.stop();
      await utils.release();
      await pool.end();
    },
  };
}
