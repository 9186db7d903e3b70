import { BullMQCarrier, type BullMQRole } from 'nestjs-spark-bullmq';
import type { Peer } from './peer.js';
import { spark } from './spark.js';

const connection = process.env.TEST_REDIS_URL ?? 'redis://127.0.0.1:6379';

/** Spark whose deliveries BullMQ carries: one process sends them, and others handle them. */
const withBullmq =
  (role: BullMQRole) =>
  (url: string): Promise<Peer> => {
    const queue = { name: new URL(url).pathname.slice(1) };
    return spark(url, {}, { carrier: new BullMQCarrier({ connection, prefix: 'spark-bench', queue, roles: [role] }) });
  };

export const CARRIED = 'spark by BullMQ';
export const DISPATCHER = 'dispatcher';

/** Its processes, by name. */
export const carried = { [CARRIED]: withBullmq('work'), [DISPATCHER]: withBullmq('dispatch') };
