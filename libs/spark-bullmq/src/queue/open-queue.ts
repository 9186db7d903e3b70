import { Queue } from 'bullmq';
import type { Redis } from 'ioredis';

/** What a queue that is written to needs. */
export interface QueueParts {
  /** Its connection, whose commands fail at once while Redis is away. It stays open. */
  readonly client: Redis;
  readonly prefix: string;
  readonly onError: (error: unknown) => void;
}

/** Opens a queue to write to. Redis has to be there. */
export async function openQueue<T>(name: string, { client, prefix, onError }: QueueParts): Promise<Queue<T>> {
  // Spark decides on retries, and keeps the history.
  const defaultJobOptions = { attempts: 1, removeOnComplete: true, removeOnFail: true };
  const queue = new Queue<T>(name, { connection: client, prefix, defaultJobOptions });
  queue.on('error', onError);
  await queue.waitUntilReady().catch(async (error: unknown) => {
    await queue.close();
    throw error;
  });
  return queue;
}
