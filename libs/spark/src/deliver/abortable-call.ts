import { SparkLog } from '../common/spark-log.js';
import { HandlerTimeoutError } from '../error/handler-timeout.error.js';
import { lineOf } from '../error/text-of.js';
import type { Waited } from '../event/work-context.js';
import type { Handler } from '../handler/handler.registry.js';
import { Deadline } from './deadline.js';

const logger = new SparkLog();
// How long interceptors may take after the call was aborted, in milliseconds.
const MOMENT = 1_000;

// There are many calls, and each object, closure and promise costs time. So this file has few of them, and no `await` where all calls pass.

/** A wait for code of the application. */
interface Wait {
  /** The wait around it: that for the interceptors. */
  readonly outer: Wait | undefined;
  readonly waited: Waited | undefined;
  /** The name of what Spark waited for before. */
  readonly before: string | undefined;
  /** Ends the wait early. Undefined where an abort does not end it. */
  fail?: (error: unknown) => void;
  isSettled?: true;
}

/** A call of code of the application that an abort or the handler's timeout ends, even if that code goes on. */
export abstract class AbortableCall {
  /** Created at the first read of `signal`, because most handlers do not read it. */
  private controller: AbortController | undefined;
  private stopped: Error | undefined;
  private innermost: Wait | undefined;
  /** A wait that code of {@link inTimeAround} began. */
  protected inner: Promise<void> | undefined;
  /** How many waits have begun and not ended. */
  private depth = 0;
  /** The time limit of the outermost wait. It covers those inside of it. */
  private deadline: Deadline | undefined;
  /** Functions that end the work that the handler returned, called when a wait is over. */
  private ends: (() => void)[] | undefined;

  protected constructor(protected readonly handler: Handler) {}

  get handlerName(): string {
    return this.handler.name;
  }

  get signal(): AbortSignal {
    if (!this.controller) {
      this.controller = new AbortController();
      if (this.stopped) this.controller.abort(this.stopped);
    }
    return this.controller.signal;
  }

  /** Aborts `scope.signal` and ends the innermost wait at once. The waits around it have MOMENT to end. */
  abort(reason: Error): void {
    if (this.stopped) return;
    this.stopped = reason;
    this.controller?.abort(reason);
    this.innermost?.fail?.(reason);
  }

  /** Adds a function that ends the work of the handler early. */
  onEnd(end: () => void): void {
    (this.ends ??= []).push(end);
  }

  /**
   * Waits for code of the application until it ends, reaches the timeout, or the call is aborted. How it ends later is ignored.
   *
   * @param waited tells the code that Spark waits for it. At the end, that is over, unless a wait around this one has the same
   * @param what the name of the code meanwhile, for messages. Default: that of `waited`
   */
  inTime<T>(work: () => T, waited?: Waited, what?: string): Promise<Awaited<T>> {
    if (this.stopped) return Promise.reject(this.stopped);
    const wait = this.beginWait(waited, what);
    let given: Promise<Awaited<T>>;
    try {
      given = Promise.resolve(work());
    } catch (error) {
      given = Promise.reject(error);
    }
    return this.waitFor(given, wait);
  }

  /** The same for code that may return the promise of {@link inner}. Then it ends as that does, and there is no promise of its own. */
  protected inTimeAround(work: () => Promise<void>, waited: Waited): Promise<void> {
    if (this.stopped) return Promise.reject(this.stopped);
    const wait = this.beginWait(waited);
    const around = work();
    if (around !== this.inner) return this.waitFor(around, wait);
    this.depth--;
    return around;
  }

  /** Runs work that an abort does not end. It ends the waits inside of it, and those around it have MOMENT from the end of the work on. */
  protected async unstopped(work: () => Promise<void>): Promise<void> {
    if (this.stopped) throw this.stopped;
    const wait = this.beginWait(this.innermost?.waited);
    try {
      await work();
    } finally {
      this.leaveWait(wait);
    }
  }

  private beginWait(waited?: Waited, what?: string): Wait {
    const before = waited?.what;
    if (waited && what !== undefined) waited.what = what;
    this.depth++;
    return (this.innermost = { outer: this.innermost, waited, before });
  }

  private waitFor<T>(given: Promise<T>, wait: Wait): Promise<T> {
    return new Promise((resolve, reject) => {
      this.deadline ??= this.newDeadline();
      wait.fail = (error) => this.settleWait(wait, reject, error);
      given.then((value) => this.settleWait(wait, resolve, value), wait.fail);
    });
  }

  private settleWait<V>(wait: Wait, by: (value: V) => void, value: V): void {
    if (wait.isSettled) return;
    wait.isSettled = true;
    this.leaveWait(wait);
    for (const end of this.ends?.splice(0) ?? []) quietly(end);
    by(value);
  }

  private leaveWait(wait: Wait): void {
    const { outer, waited, before } = wait;
    if (this.innermost === wait) {
      this.innermost = outer;
      if (this.stopped && outer?.fail) setTimeout(outer.fail, MOMENT, this.stopped).unref();
    }
    this.depth--;
    if (waited) {
      waited.what = before!;
      waited.isOver = this.depth === 0 || (outer !== undefined && outer.waited !== waited);
    }
    if (this.depth > 0) return;
    this.deadline?.end();
    this.deadline = undefined;
  }

  private newDeadline(): Deadline | undefined {
    const { name, timeout } = this.handler;
    return timeout === undefined
      ? undefined
      : new Deadline(timeout, () => this.abort(new HandlerTimeoutError(name, timeout)));
  }
}

// An error here cannot change how the attempt ended, so it is only logged.
function quietly(end: () => void): void {
  try {
    end();
  } catch (error) {
    logger.debug(`The result of a handler could not be ended: ${lineOf(error)}`, { error });
  }
}
