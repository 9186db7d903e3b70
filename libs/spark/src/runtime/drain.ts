import type { Spark } from './create-spark.js';

/** Works off due rechecks and deliveries until none is left. */
export function drain({ context, recheckRunner, worker, handling }: Spark): Promise<void> {
  return context.run(async () => {
    // Work that a poll or a notification does meanwhile may lead to more, too.
    const done = () => recheckRunner.claimed + handling.begun;
    for (let before = -1; before !== done();) {
      before = done();
      await recheckRunner.drain();
      await worker.drain();
    }
  });
}
