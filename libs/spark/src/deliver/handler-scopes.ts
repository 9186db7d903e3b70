import type { EntityManager } from 'typeorm';
import { NotTransactionalError } from '../error/not-transactional.error.js';
import type { BatchScope } from '../handler/batch.js';
import type { HandlerScope } from '../handler/group-handler.decorator.js';
import type { Delivery } from '../store/deliveries.js';

/** The call that a scope belongs to. Its signal is created at the first read. */
interface ScopedCall {
  readonly signal: AbortSignal;
  readonly handlerName: string;
}

/** What the scopes of all handlers have. */
class Scope {
  constructor(
    private readonly call: ScopedCall,
    private readonly given: EntityManager | undefined,
  ) {}

  get signal(): AbortSignal {
    return this.call.signal;
  }

  get manager(): EntityManager {
    if (!this.given) throw new NotTransactionalError(this.call.handlerName);
    return this.given;
  }
}

/** The scope of a handler of single events. */
export class ScopeOfOne extends Scope implements HandlerScope {
  readonly attempt: number;
  readonly deliveryId: string;

  constructor(call: ScopedCall, { attempt, id }: Delivery, manager: EntityManager | undefined) {
    super(call, manager);
    this.attempt = attempt;
    this.deliveryId = id;
  }
}

/** The scope of a handler of many events. */
export class ScopeOfMany extends Scope implements BatchScope {
  readonly attempts: readonly number[];
  readonly deliveryIds: readonly string[];
  readonly key: string | undefined;

  constructor(call: ScopedCall, claimed: readonly Delivery[], manager: EntityManager | undefined) {
    super(call, manager);
    this.attempts = claimed.map(({ attempt }) => attempt);
    this.deliveryIds = claimed.map(({ id }) => id);
    this.key = claimed[0]!.digest?.key;
  }
}
