import { handWrittenQueue } from '../hand-written/queue.js';
import { bullmq } from './bullmq.js';
import { graphileWorker } from './graphile-worker.js';
import type { Peer } from './peer.js';
import { pgBoss } from './pg-boss.js';
import { spark } from './spark.js';

/** All of them, by name. */
export const peers: Record<string, (postgresUrl: string) => Promise<Peer>> = {
  spark,
  'graphile-worker': graphileWorker,
  'pg-boss': pgBoss,
  BullMQ: () => bullmq(),
};

/** Theirs, and the least that does the same. */
export const arms: typeof peers = { ...peers, 'hand-written': handWrittenQueue };
