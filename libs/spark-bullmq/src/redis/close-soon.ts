import { setTimeout as delay } from 'node:timers/promises';
import type { RedisQueueBackend } from 'bullmq';

// How long the end of a connection may take, in milliseconds.
const END = 800;

/** Waits until a part of BullMQ has closed. Where Redis does not answer, it cuts its connections, so that nothing keeps the process alive. */
export async function closeSoon(
  closing: Promise<unknown>,
  backend: Pick<RedisQueueBackend, 'close' | 'client' | 'blockingClient'>,
  isThere: boolean,
): Promise<void> {
  if (await hasEnded(closing, isThere ? END : 0)) return;
  // Each of these ends what the others cannot: a connection that was never made, one that BullMQ waits for, and one that blocks.
  backend.close(true).catch(ignore);
  for (const client of [backend.client, backend.blockingClient])
    client?.then((connection) => connection.disconnect()).catch(ignore);
}

const ignore = (): void => undefined;

/** What it throws does not matter any more. */
async function hasEnded(closing: Promise<unknown>, time: number): Promise<boolean> {
  const timer = new AbortController();
  const late = delay(time, false, { signal: timer.signal, ref: false }).catch(() => false);
  const ended = closing.then(
    () => true,
    () => true,
  );
  const first = await Promise.race([ended, late]);
  timer.abort();
  return first;
}
