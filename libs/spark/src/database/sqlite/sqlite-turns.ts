import { AsyncLocalStorage } from 'node:async_hooks';
import type { QueryRunner } from 'typeorm';
import { SqliteCutOffError } from '../../error/sqlite-cut-off.error.js';
import { SqliteLockTimeoutError } from '../../error/sqlite-lock-timeout.error.js';
import { AsyncLock } from '../async-lock.js';

/** A turn at the connection: a transaction, a savepoint in one, or a migration. */
export class Turn {
  /**
   * A starting one still waits: who sees it is a sibling begun in the same breath, not part of it. A call is of
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
  inner: Turn | undefined;
  private readonly begun: Error | undefined;

  /**
   * @param runner whose it is; the connection itself is nobody's
   * @param parent what it is a savepoint of, at last the connection
   * @param outer where the async context goes on looking when this one has ended
   * @param called `manager.transaction()` began it, and ends it and nothing else
   */
  constructor(
    readonly runner?: QueryRunner,
    public parent?: Turn,
    readonly outer?: Turn,
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
const contexts = new AsyncLocalStorage<ReadonlyMap<SqliteTurns, Turn>>();

/** Who has the connection, who waits for it, and which of their turns an async context is in. */
export class SqliteTurns {
  /** What everything is within. */
  connection = connected();

  constructor(readonly timeout: number) {}

  /** The turn that the async context is in. */
  active(): Turn | undefined {
    return this.find(({ state }) => state === 'active');
  }

  /** The innermost turn of the async context that is as asked. */
  find(as: (turn: Turn) => boolean): Turn | undefined {
    let turn = this.current();
    while (turn && !as(turn)) turn = turn.outer;
    return turn;
  }

  /**
   * The turn that the runner is about to begin. It is called before the first wait: only so the caller, and who
   * called it to begin, are in this context afterwards.
   */
  next(runner: QueryRunner, parent = this.connection): Turn {
    const turn = new Turn(runner, parent, this.active(), this.current()?.state === 'call');
    contexts.enterWith(this.with(turn));
    return turn;
  }

  /** Calls `manager.transaction()`: its callback is in its context, its caller is not. */
  call<T>(transaction: () => T): T {
    const call = new Turn(undefined, undefined, this.current());
    call.state = 'call';
    return contexts.run(this.with(call), transaction);
  }

  /** The innermost turn of the async context. */
  private current(): Turn | undefined {
    return contexts.getStore()?.get(this);
  }

  /** The async context's turns at all connections, with this one at the own. */
  private with(turn: Turn): ReadonlyMap<SqliteTurns, Turn> {
    const others = [...(contexts.getStore() ?? [])].filter(([turns]) => turns.find(({ state }) => state !== 'ended'));
    return new Map(others).set(this, turn);
  }

  /** Waits for its turn, and has it: never at once, as siblings may begin in the same breath. */
  async enter(turn: Turn): Promise<void> {
    for (;;) {
      const parent = turn.parent!;
      await this.wait(parent);
      if (parent.state === 'active') {
        turn.state = 'active';
        parent.inner = turn;
        return;
      }
      // It has ended meanwhile.
      parent.queue.release();
      turn.parent = parent.parent ?? this.connection;
    }
  }

  /** Waits until nothing is within the turn, and keeps it so until its queue is released. */
  wait(turn: Turn): Promise<void> | undefined {
    return turn.queue.acquire(this.timeout, () => new SqliteLockTimeoutError(this.timeout, turn.inner?.origin));
  }

  /** Takes a turn over from what is within it and does not end: that counts as ended, and what goes on in it is refused. */
  takeOver(turn: Turn): void {
    for (let { inner } = turn; inner; inner = inner.inner) {
      inner.state = 'ended';
      inner.isCutOff = true;
    }
    turn.inner = undefined;
  }

  /** Throws where the async context is in a turn that was cut off. */
  refuseCutOff(): void {
    if (this.find(({ state }) => state !== 'call')?.isCutOff) throw new SqliteCutOffError(this.timeout);
  }

  leave(turn: Turn): void {
    turn.state = 'ended';
    turn.parent!.inner = undefined;
    turn.parent!.queue.release();
  }

  /** The connection is another one: what was under way on the old one has ended. */
  reconnected(): void {
    for (let turn: Turn | undefined = this.connection; turn; turn = turn.inner) turn.state = 'ended';
    this.connection = connected();
  }
}

function connected(): Turn {
  const connection = new Turn();
  connection.state = 'active';
  return connection;
}
