/** All states that a delivery can be in. */
export const DELIVERY_STATES = ['held', 'available', 'running', 'completed', 'skipped', 'discarded'] as const;

/** The state of a delivery. */
export type DeliveryState = (typeof DELIVERY_STATES)[number];

/** The states that a delivery is opened in. Discarded ones are those of a baseline: no handler gets them. */
export type InitialState = 'available' | 'held' | 'discarded';

/** The states in which a delivery has ended. */
export const ENDED = ['completed', 'skipped', 'discarded'] as const satisfies readonly DeliveryState[];

/** The reason for which the deliveries of a baseline are discarded. */
export const BASELINE = 'baseline';

/** A way from one state to another. */
export interface Transition {
  /** `null`: the delivery is opened. */
  readonly from: DeliveryState | null;
  /** `null`: its row is removed. */
  readonly to: DeliveryState | null;
  /** The method or statement that does it. */
  readonly by: string;
  /** When it is done, and what changes besides the state. */
  readonly when: string;
}

const way = (from: DeliveryState | null, to: DeliveryState | null, by: string, when: string): Transition => {
  return { from, to, by, when };
};

/**
 * All ways between the states. ARCHITECTURE.md draws them, and a test on each database fails if a delivery takes another one, or if
 * one of these is never taken. No statement of the library takes a way that is not here.
 */
export const TRANSITIONS: readonly Transition[] = [
  way(null, 'available', 'Dialect.enter', 'An event is entered. `attempt` is 0, `due_at` is now.'),
  way(
    null,
    'held',
    'Dialect.enter',
    'The event was true before Spark knew it: the first sweep of its group, or of a changed source, found it.',
  ),
  way(
    null,
    'discarded',
    'Dialect.enter',
    'The same with `history: silent`, or a baseline found the event. `last_error` is `baseline`.',
  ),
  way(
    null,
    'available',
    'DeliveryAdmin.replay',
    '`replay` of an event that the handler has no delivery of. `priority` + 1.',
  ),
  way('held', 'available', 'HeldDeliveries.release', 'The end of the first sweep. `priority` + 1.'),
  way('held', 'available', 'DeliveryAdmin.release', '`release`. `priority` + 1, or the given one.'),
  way('held', 'discarded', 'HeldDeliveries.discard', 'The end of a baseline.'),
  way('held', 'discarded', 'DeliveryAdmin.discard', '`discard`.'),
  way('held', 'discarded', 'EventAdmin.erase', '`erase` of the entity of the event. `last_error` is `erased`.'),
  way(
    'available',
    'running',
    'Dialect.claim',
    'It is due, a slot is free, and its handler is not paused. `attempt` + 1, `claimed_by` is the lease.',
  ),
  way(
    'available',
    'available',
    'Dialect.dispatch',
    'A carrier has room for it. `claimed_by` is the lease, and `due_at` when it is back if it gets lost.',
  ),
  way(
    'available',
    'available',
    'Deliveries.recall',
    'It was dispatched, and the carrier did not take it, or the process that it was brought to leaves it to others. `claimed_by` is `NULL`.',
  ),
  way(
    'available',
    'running',
    'Dialect.takeOver',
    'It was dispatched, and has been brought to a process with a free slot. `attempt` + 1, `claimed_by` is the lease.',
  ),
  way('available', 'discarded', 'DeliveryAdmin.discard', '`discard`. `last_error` stays if there is one.'),
  way(
    'available',
    'available',
    'DeliveryAdmin.retry',
    '`retry` of one that waits for its next attempt, or is on its way: due now, `attempt` is 0, `claimed_by` is `NULL`.',
  ),
  way('running', 'completed', 'Dialect.complete', 'The handler ended well.'),
  way('running', null, 'Dialect.complete', 'The handler ended well, and `history` is `false`.'),
  way(
    'running',
    'available',
    'Deliveries.retry',
    'The handler failed: due after the backoff. `RetryLater`: `attempt` − 1.',
  ),
  way(
    'running',
    'available',
    'Deliveries.giveBack',
    'The process stops or cannot decide, or the delivery waits for others of its digest. `attempt` − 1.',
  ),
  way('running', 'available', 'Deliveries.giveBackOthers', 'A claim threw and may have committed. `attempt` − 1.'),
  way('running', 'available', 'Rescue.free', 'The lease of its process is gone. `suspect` is 1.'),
  way(
    'running',
    'skipped',
    'Deliveries.skip',
    '`until` is past, or `revalidate` finds that its source no longer yields it.',
  ),
  way('running', 'discarded', 'Deliveries.discard', 'The last attempt failed, or the handler threw `DiscardDelivery`.'),
  way('discarded', 'available', 'DeliveryAdmin.retry', '`retry`. `attempt` is 0, `priority` + 1.'),
  way('discarded', 'available', 'DeliveryAdmin.replay', '`replay` with `repeat`. `attempt` is 0, `priority` + 1.'),
  way('completed', 'available', 'DeliveryAdmin.replay', '`replay` with `repeat`. `attempt` is 0, `priority` + 1.'),
  way('skipped', 'available', 'DeliveryAdmin.replay', '`replay` with `repeat`. `attempt` is 0, `priority` + 1.'),
  way('completed', null, 'Retention.prune', '`retention.completed` is over.'),
  way('skipped', null, 'Retention.prune', '`retention.completed` is over.'),
  way('discarded', null, 'Retention.prune', '`retention.discarded` is over.'),
];
