import { AsyncLocalStorage } from 'node:async_hooks';
import type { QueryRunner } from 'typeorm';
import { SqliteCutOffError } from '../../error/sqlite-cut-off.error.js';
import { SqliteLockTimeoutError } from '../../error/sqlite-lock-timeout.error.js';
import { AsyncLock } from '../async-lock.js';

/** A holder of the connection: a transaction, a savepoint in one, or a migration. */
export class TransactionScope {
  /**
   * A `starting` scope still waits for the connection. Code that finds it in its async context began in the same tick: it is a sibling,
   * not a part of it. A `call` is a call of `manager.transaction()` that is about to begin its transaction.
   */
  state: 'call' | 'starting' | 'active' | 'ended' = 'starting';
  /** Allows one inner scope at a time. Siblings wait. */
  readonly queue = new AsyncLock();
  /** Whether the outer transaction gave up waiting for this scope and was rolled back. */
  isCutOff = false;
  /** The depth of transactions: 1 is a transaction, 2 a savepoint in it. */
  depth = 0;
  /** The inner scope. */
  inner: TransactionScope | undefined;
  private readonly begun: Error | undefined;

  /**
   * @param runner the query runner of the scope; the scope of the connection itself has none
   * @param parent the scope around it: a transaction, or the connection
   * @param outer the scope that the async context is in after this one has ended
   * @param called whether `manager.transaction()` began it, and so is the only one to end it
   */
  constructor(
    readonly runner?: QueryRunner,
    public parent?: TransactionScope,
    readonly outer?: TransactionScope,
    readonly called = false,
  ) {
    if (runner) this.begun = new Error();
  }

  /** The stack of where it began: the frames of the application, if there are any. */
  get origin(): string {
    const frames = (this.begun?.stack ?? '').split('\n').slice(1);
    const own = frames.filter(
      (line) => !/node_modules\/typeorm|database[/\\]sqlite[/\\]|node:internal|\(node:/.test(line),
    );
    return (own.length > 0 ? own : frames).join('\n');
  }
}

// One storage for the whole process: on Node.js 20, each further one makes every await of the process slower, for good.
const contexts = new AsyncLocalStorage<ReadonlyMap<ConnectionLock, TransactionScope>>();

/** Decides which scope has the connection and which scopes wait, and finds the scope of an async context. */
export class ConnectionLock {
  /** The outermost scope: the connection. */
  connection = connected();

  constructor(readonly timeout: number) {}

  /** The scope that the async context is in. */
  active(): TransactionScope | undefined {
    return this.find(({ state }) => state === 'active');
  }

  /** The innermost scope of the async context that fulfils the condition. */
  find(as: (scope: TransactionScope) => boolean): TransactionScope | undefined {
    let scope = this.current();
    while (scope && !as(scope)) scope = scope.outer;
    return scope;
  }

  /**
   * Creates the scope that the runner is about to begin. It must be called before the first `await`: only then is the async context of
   * the caller, and of the caller's caller, in the new scope afterwards.
   */
  next(runner: QueryRunner, parent = this.connection): TransactionScope {
    const scope = new TransactionScope(runner, parent, this.active(), this.current()?.state === 'call');
    contexts.enterWith(this.with(scope));
    return scope;
  }

  /** Calls `manager.transaction()`. Its callback is in the new scope, its caller is not. */
  call<T>(transaction: () => T): T {
    const call = new TransactionScope(undefined, undefined, this.current());
    call.state = 'call';
    return contexts.run(this.with(call), transaction);
  }

  /** The innermost scope of the async context. */
  private current(): TransactionScope | undefined {
    return contexts.getStore()?.get(this);
  }

  /** The scopes of the async context at all connections, with the given one at this connection. */
  private with(scope: TransactionScope): ReadonlyMap<ConnectionLock, TransactionScope> {
    const others = [...(contexts.getStore() ?? [])].filter(([lock]) => lock.find(({ state }) => state !== 'ended'));
    return new Map(others).set(this, scope);
  }

  /** Waits until the scope may begin, and begins it. It always waits a little, because siblings may begin in the same tick. */
  async enter(scope: TransactionScope): Promise<void> {
    for (;;) {
      const parent = scope.parent!;
      await this.wait(parent);
      if (parent.state === 'active') {
        scope.state = 'active';
        parent.inner = scope;
        return;
      }
      // The parent has ended meanwhile.
      parent.queue.release();
      scope.parent = parent.parent ?? this.connection;
    }
  }

  /** Waits until the scope has no inner scope, and lets no other one in until its queue is released. */
  wait(scope: TransactionScope): Promise<void> | undefined {
    return scope.queue.acquire(this.timeout, () => new SqliteLockTimeoutError(this.timeout, scope.inner?.origin));
  }

  /** Cuts off the inner scopes of a scope, because they do not end. They count as ended, and their later statements are refused. */
  takeOver(scope: TransactionScope): void {
    for (let { inner } = scope; inner; inner = inner.inner) {
      inner.state = 'ended';
      inner.isCutOff = true;
    }
    scope.inner = undefined;
  }

  /** Throws SqliteCutOffError if the async context is in a scope that was cut off. */
  refuseCutOff(): void {
    if (this.find(({ state }) => state !== 'call')?.isCutOff) throw new SqliteCutOffError(this.timeout);
  }

  leave(scope: TransactionScope): void {
    scope.state = 'ended';
    scope.parent!.inner = undefined;
    scope.parent!.queue.release();
  }

  /** Called when the DataSource has a new connection: all scopes of the old one have ended. */
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
