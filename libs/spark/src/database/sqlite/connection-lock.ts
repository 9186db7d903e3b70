import { AsyncLocalStorage } from 'node:async_hooks';
import type { QueryRunner } from 'typeorm';
import { SqliteCutOffError } from '../../error/sqlite-cut-off.error.js';
import { SqliteLockTimeoutError } from '../../error/sqlite-lock-timeout.error.js';
import { AsyncLock } from '../async-lock.js';

/** What holds the connection: a transaction, a savepoint in one, or a migration. */
export class TransactionScope {
  /**
   * A starting one still waits: who sees it is a sibling that began in the same tick, not part of it. A call is of
   * `manager.transaction()`, which is about to begin.
   */
  state: 'call' | 'starting' | 'active' | 'ended' = 'starting';
  /** One at a time is within it: siblings queue. */
  readonly queue = new AsyncLock();
  /** Whether its outer transaction was rolled back without waiting for it any longer. */
  isCutOff = false;
  /** How deep in transactions it is: 1 is a transaction, 2 a savepoint in it. */
  depth = 0;
  /** The one that is within it. */
  inner: TransactionScope | undefined;
  private readonly begun: Error | undefined;

  /**
   * @param runner whose it is; the connection itself is nobody's
   * @param parent what it is a savepoint of, at last the connection
   * @param outer where the async context goes on looking when this one has ended
   * @param called `manager.transaction()` began it, and ends it and nothing else
   */
  constructor(
    readonly runner?: QueryRunner,
    public parent?: TransactionScope,
    readonly outer?: TransactionScope,
    readonly called = false,
  ) {
    if (runner) this.begun = new Error();
  }

  /** Where it began: the frames of the application, if there are any. */
  get origin(): string {
    const frames = (this.begun?.stack ?? '').split('\n').slice(1);
    const own = frames.filter(
      (line) => !/node_modules\/typeorm|database[/\\]sqlite[/\\]|node:internal|\(node:/.test(line),
    );
    return (own.length > 0 ? own : frames).join('\n');
  }
}

// One for the whole process: on Node 20 each further storage makes every await of the process slower, for good.
const contexts = new AsyncLocalStorage<ReadonlyMap<ConnectionLock, TransactionScope>>();

/** Who has the connection, who waits for it, and in which scope an async context is. */
export class ConnectionLock {
  /** What everything is within. */
  connection = connected();

  constructor(readonly timeout: number) {}

  /** The scope that the async context is in. */
  active(): TransactionScope | undefined {
    return this.find(({ state }) => state === 'active');
  }

  /** The innermost scope of the async context that is as asked. */
  find(as: (scope: TransactionScope) => boolean): TransactionScope | undefined {
    let scope = this.current();
    while (scope && !as(scope)) scope = scope.outer;
    return scope;
  }

  /**
   * The scope that the runner is about to begin. It is called before the first wait: only so the caller, and who
   * called it to begin, are in this context afterwards.
   */
  next(runner: QueryRunner, parent = this.connection): TransactionScope {
    const scope = new TransactionScope(runner, parent, this.active(), this.current()?.state === 'call');
    contexts.enterWith(this.with(scope));
    return scope;
  }

  /** Calls `manager.transaction()`: its callback is in its context, its caller is not. */
  call<T>(transaction: () => T): T {
    const call = new TransactionScope(undefined, undefined, this.current());
    call.state = 'call';
    return contexts.run(this.with(call), transaction);
  }

  /** The innermost scope of the async context. */
  private current(): TransactionScope | undefined {
    return contexts.getStore()?.get(this);
  }

  /** The async context's scopes at all connections, with this one at the own. */
  private with(scope: TransactionScope): ReadonlyMap<ConnectionLock, TransactionScope> {
    const others = [...(contexts.getStore() ?? [])].filter(([lock]) => lock.find(({ state }) => state !== 'ended'));
    return new Map(others).set(this, scope);
  }

  /** Waits until the scope may begin, and begins it. Always waits a little, as siblings may begin in the same tick. */
  async enter(scope: TransactionScope): Promise<void> {
    for (;;) {
      const parent = scope.parent!;
      await this.wait(parent);
      if (parent.state === 'active') {
        scope.state = 'active';
        parent.inner = scope;
        return;
      }
      // It has ended meanwhile.
      parent.queue.release();
      scope.parent = parent.parent ?? this.connection;
    }
  }

  /** Waits until nothing is within the scope, and keeps it so until its queue is released. */
  wait(scope: TransactionScope): Promise<void> | undefined {
    return scope.queue.acquire(this.timeout, () => new SqliteLockTimeoutError(this.timeout, scope.inner?.origin));
  }

  /** Takes a scope over from what is within it and does not end: that counts as ended, and what goes on in it is refused. */
  takeOver(scope: TransactionScope): void {
    for (let { inner } = scope; inner; inner = inner.inner) {
      inner.state = 'ended';
      inner.isCutOff = true;
    }
    scope.inner = undefined;
  }

  /** Throws where the async context is in a scope that was cut off. */
  refuseCutOff(): void {
    if (this.find(({ state }) => state !== 'call')?.isCutOff) throw new SqliteCutOffError(this.timeout);
  }

  leave(scope: TransactionScope): void {
    scope.state = 'ended';
    scope.parent!.inner = undefined;
    scope.parent!.queue.release();
  }

  /** The connection is another one: what was under way on the old one has ended. */
  reconnected(): void {
    for (let scope: TransactionScope | undefined = this.connection; scope; scope = scope.inner) scope.state = 'ended';
    this.connection = connected();
  }
}

function connected(): TransactionScope {
  const connection = new TransactionScope();
  connection.state = 'active';
  return connection;
}
