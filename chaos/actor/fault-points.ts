import { Ledger } from '../../libs/spark/src/store/ledger.js';
import { Rechecks } from '../../libs/spark/src/store/rechecks.js';
import { Completions } from '../../libs/spark/src/deliver/completions.js';
import type { Delivery } from '../../libs/spark/src/store/deliveries.js';
import { LostLeaseError } from '../../libs/spark/src/error/lost-lease.error.js';
import { Attempt } from '../../libs/spark/src/deliver/attempt.js';
import { Claimer } from '../../libs/spark/src/deliver/claimer.js';
import { Dispatcher } from '../../libs/spark/src/deliver/dispatcher.js';
import { Handling } from '../../libs/spark/src/deliver/handling.js';
import { Looks } from '../../libs/spark/src/deliver/looks.js';
import { RecordedEvents } from '../../libs/spark/src/runtime/recorded-events.js';
import { WorkSignals } from '../../libs/spark/src/runtime/work-signals.js';
import type { Page } from '../../libs/spark/src/sweep/pages.js';
import { SourceSweeper } from '../../libs/spark/src/sweep/source-sweeper.js';
import { SparkRelays } from '../../libs/spark/src/microservices/spark-relays.js';
import type { Fate, Point } from '../faults.js';
import type { Journal } from './journal.js';

/** Strikes this process where its fate says, from outside of the library: methods are wrapped, sources stay as they are. */
export class FaultPoints {
  private passed = 0;

  constructor(
    private readonly journal: Journal,
    private readonly fate: Fate | undefined,
  ) {}

  /** This process comes by a point, with work in its hands. */
  pass(point: Point): void {
    const { fate, journal } = this;
    if (fate?.point !== point || ++this.passed !== fate.nth) return;
    journal.record({ kind: fate.kind, point });
    process.kill(process.pid, fate.kind === 'kill' ? 'SIGKILL' : 'SIGSTOP');
  }

  install(): void {
    const { journal } = this;
    const pass = (point: Point) => this.pass(point);
    wrap(Ledger, 'enter', async (enter, manager, entries, ...how) => {
      if (entries.length > 0) pass('before-enter');
      const fresh = await enter(manager, entries, ...how);
      if (fresh.events.length > 0) pass('after-enter');
      return fresh;
    });
    wrap(RecordedEvents, 'onRecorded', (onRecorded, recorded) => {
      if (recorded.events.length > 0) pass('after-commit');
      onRecorded(recorded);
    });
    wrap(Rechecks, 'remove', async (remove, ...given) => {
      const isOurs = await remove(...given);
      pass('in-recheck');
      return isOurs;
    });
    wrap(SourceSweeper, 'sweep', async (sweep, of, page: Page) =>
      journal.during(async () => {
        if (page.keys.length > 0) pass('in-sweep');
        return sweep(of, page);
      }),
    );
    // A process is at work if the database answers it and it holds its lease, also if it only dispatches or there is nothing to claim.
    let isAnswered = false;
    wrap(Looks, 'look', async (look) => {
      const isNews = await look();
      isAnswered = true;
      return isNews;
    });
    wrap(Claimer, 'hasLease', async (hasLease) => {
      const isHeld = await hasLease();
      if (isHeld && isAnswered) journal.looked();
      isAnswered &&= !isHeld;
      return isHeld;
    });
    wrap(Handling, 'beginAll', async (begin, claimed, ...given) =>
      journal.during(async () => {
        // A stall is worth most where it keeps a handler from its transaction.
        const counts = this.fate?.kind === 'kill' || claimed.some(({ handler }: Delivery) => handler === 'effects');
        if (counts) pass('after-claim');
        if (claimed.some(({ handler }: Delivery) => handler === 'rated') && Math.random() < 0.1) hiccup();
        return begin(claimed, ...given);
      }),
    );
    wrap(Dispatcher, 'send', async (send, dispatched) =>
      journal.during(async () => {
        pass('before-send');
        const isSent = await send(dispatched);
        if (isSent) pass('after-send');
        return isSent;
      }),
    );
    wrap(SparkRelays, 'send', async (send, ...given) => {
      pass('before-publish');
      await send(...given);
      pass('after-confirm');
    });
    wrap(Attempt, 'run', (run, context) => journal.during(() => run(context)));
    wrap(Completions, 'complete', async (complete, part) => {
      pass('before-completion');
      const ours = await complete(part);
      pass('after-completion');
      if (ours.size < part.length) journal.record({ kind: 'fenced', count: part.length - ours.size });
      return ours;
    });
    wrap(Attempt, 'failed', (failed, thrown) => {
      if (thrown instanceof LostLeaseError) journal.record({ kind: 'fenced', count: 1 });
      return failed(thrown);
    });
    wrap(Handling, 'abandon', (abandon) => {
      journal.record({ kind: 'lease-lost' });
      abandon();
    });
    wrap(WorkSignals, 'rescued', (rescued, count) => {
      journal.record({ kind: 'rescued', count });
      rescued(count);
    });
  }
}

// For how long a process does nothing now and then, in ms: longer than a rate lets a call be late, shorter than its lease.
const HICCUP = 400;

function hiccup(): void {
  const until = performance.now() + HICCUP;
  while (performance.now() < until);
}

/** Puts a function around a method of all instances. */
export function wrap(
  { name, prototype }: { name: string; prototype: object },
  method: string,
  around: (this: any, original: (...args: any[]) => any, ...args: any[]) => unknown,
): void {
  const methods = prototype as Record<string, (...args: any[]) => unknown>;
  const original = methods[method];
  if (!original) throw new Error(`${name} has no method ${method} any more: chaos has to follow the library`);
  methods[method] = function wrapped(this: object, ...args: any[]) {
    return around.call(this, original.bind(this), ...args);
  };
}
