import type { EntityManager } from 'typeorm';
import { Deliveries, type Delivery, type Done } from '../../libs/spark/src/store/deliveries.js';
import { FleetLimiter } from '../../libs/spark/src/store/fleet-limiter.js';
import { WorkerLease } from '../../libs/spark/src/store/worker-lease.js';
import { execute } from '../../libs/spark/src/database/statement.js';
import { NotKnownHere } from '../../libs/spark/src/deliver/undecided.js';
import { StatementDeadline } from '../../libs/spark/src/database/statement-deadline.js';
import { Attempt } from '../../libs/spark/src/deliver/attempt.js';
import { HandlerCall } from '../../libs/spark/src/deliver/handler-call.js';
import { SparkRelays } from '../../libs/spark/src/microservices/spark-relays.js';
import type { Break } from '../faults.js';
import { type FaultPoints, wrap } from './fault-points.js';

/** Takes a guard of the library away, to see that the check at the end of a round notices. */
export function takeAway(guard: Break, points: FaultPoints): void {
  if (guard === 'fence') withoutFence();
  if (guard === 'lease') withoutLease();
  if (guard === 'transaction') withoutTransaction(points);
  if (guard === 'deadline') withoutDeadline();
  if (guard === 'others') withoutOthers();
  if (guard === 'limits') withoutLimits();
  if (guard === 'start') withoutStart();
  if (guard === 'confirms') withoutConfirms();
}

/** Whoever ends a delivery does, whether it is still theirs or not. */
function withoutFence(): void {
  wrap(Deliveries, 'ours', (_ours, { id }: Delivery) => ({ sql: 'id = :id', parameters: { id } }));
  wrap(Deliveries, 'complete', async (_complete, manager: EntityManager, done: Done[], now: number) => {
    const ids = done.map(({ delivery }) => delivery.id);
    const update = `UPDATE spark_delivery SET state = 'completed', finished_at = :now WHERE id IN (:...ids)`;
    await execute(manager, update, { now, ids });
    return new Set(ids);
  });
}

/** What others have claimed is taken from them, whether their lease holds or not. */
function withoutLease(): void {
  wrap(WorkerLease, 'rescue', async function rescueAll(rescue) {
    await rescue();
    const free = `UPDATE spark_delivery SET state = 'available', claimed_by = NULL WHERE state = 'running' AND claimed_by <> :id`;
    await this.transactions.run((manager: EntityManager) => execute(manager, free, { id: this.id }));
  });
}

/** What a transactional handler writes commits first, and its delivery is completed after. */
function withoutTransaction(points: FaultPoints): void {
  wrap(HandlerCall, 'handle', async function handleApart(handle, event) {
    if (!this.handler.options.transactional) {
      await handle(event);
      return;
    }
    await this.transactions.runOnce((manager: EntityManager) => this.call(event, manager));
    points.pass('before-completion');
    const done = [{ delivery: this.delivery, durationMs: 0 }];
    await this.transactions.runOnce((manager: EntityManager) =>
      this.deliveries.complete(manager, done, this.clock.now()),
    );
  });
}

/** Statements wait for their answers for as long as it takes. */
function withoutDeadline(): void {
  wrap(StatementDeadline, 'within', (_within, work: () => Promise<unknown>) => work());
}

/** What is claimed does not count against limits over all processes. */
function withoutLimits(): void {
  wrap(FleetLimiter, 'count', async () => undefined);
}

/** A handler is called, however long after its claim. */
function withoutStart(): void {
  wrap(HandlerCall, 'callInTime', (_callInTime, call: () => unknown) => call());
}

/** Deliveries of a relay are completed while it sends them, whether the broker gets them or not. */
function withoutConfirms(): void {
  wrap(SparkRelays, 'send', async (send, ...given) => {
    void send(...given).catch(() => undefined);
  });
}

/** A process gives up what it does not know, as if nobody did. */
function withoutOthers(): void {
  wrap(Attempt, 'failed', (failed, thrown) =>
    thrown instanceof NotKnownHere ? { state: 'discarded', error: thrown.message } : failed(thrown),
  );
}
