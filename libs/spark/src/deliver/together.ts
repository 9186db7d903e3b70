import type { Delivery } from '../store/deliveries.js';

/** How the attempt of a delivery ended. */
interface OfDelivery {
  readonly delivery: Pick<Delivery, 'id' | 'worker' | 'attempt'>;
}

interface Waiting<E> {
  readonly ended: E;
  readonly settled: (isOurs: boolean | undefined) => void;
}

const MOST = 1_000;

/** Collects deliveries that end alike while a statement is running, so that the next statement settles many of them. */
export class Together<E extends OfDelivery> {
  private waiting: Waiting<E>[] = [];
  private flushing: Promise<void> | undefined;

  /** @param settle settles deliveries of one lease and one attempt. Returns the ids of those that were still ours; undefined if it could not */
  constructor(private readonly settle: (ended: readonly E[]) => Promise<ReadonlySet<string> | undefined>) {}

  /**
   * Settles a delivery with the next statement. After the commit it calls `settled` with whether the delivery was still ours; undefined if
   * it could not be settled.
   */
  add(ended: E, settled: (isOurs: boolean | undefined) => void): void {
    this.waiting.push({ ended, settled });
    this.flushing ??= this.flush();
  }

  private async flush(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, MOST);
      for (const part of alike(batch)) {
        const ours = await this.settle(part.map(({ ended }) => ended));
        for (const { ended, settled } of part) settled(ours?.has(ended.delivery.id));
      }
    }
    this.flushing = undefined;
  }
}

/** Splits deliveries into parts of one lease and one attempt each, because one fence names one of each. Usually there is one part. */
function* alike<E extends OfDelivery>(batch: readonly Waiting<E>[]): Iterable<readonly Waiting<E>[]> {
  let left = batch;
  while (left.length > 0) {
    const { worker, attempt } = left[0]!.ended.delivery;
    const isAlike = ({ ended: { delivery } }: Waiting<E>) => delivery.worker === worker && delivery.attempt === attempt;
    yield left.filter(isAlike);
    left = left.filter((one) => !isAlike(one));
  }
}
