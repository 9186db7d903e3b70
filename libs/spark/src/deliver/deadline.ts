import { AsyncLocalStorage } from 'node:async_hooks';

const outside = AsyncLocalStorage.snapshot();
const begun: Deadline[] = [];

/** Calls a function when a time is over. Its timer starts in the next iteration of the event loop: most work ends before and needs none. */
export class Deadline {
  private timer: NodeJS.Timeout | undefined;
  private isEnded = false;

  constructor(
    private readonly milliseconds: number,
    private readonly onReached: () => void,
  ) {
    if (begun.push(this) === 1) outside(setImmediate, startAll);
  }

  start(): void {
    if (!this.isEnded) this.timer = setTimeout(this.onReached, this.milliseconds);
  }

  end(): void {
    this.isEnded = true;
    clearTimeout(this.timer);
  }
}

function startAll(): void {
  for (const deadline of begun.splice(0)) deadline.start();
}
