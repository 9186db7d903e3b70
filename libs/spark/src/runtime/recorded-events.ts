import { Subject as Stream } from 'rxjs';
import type { BootContext } from '../common/boot-context.js';
import { chainLink, inChainOf } from '../event/chain.js';
import type { ChainLink } from '../event/work-context.js';
import type { SparkEvent } from '../event/spark-event.js';
import type { Interceptors } from '../interceptor/interceptors.js';
import type { RecordResult } from '../record/recorder.js';
import type { WorkSignals } from './work-signals.js';

/** Publishes the events of a transaction on `events$` after its commit, and notifies of new work. */
export class RecordedEvents {
  readonly stream = new Stream<SparkEvent>();

  constructor(
    private readonly context: BootContext,
    private readonly signals: WorkSignals,
    private readonly interceptors: Interceptors,
  ) {}

  /** Called after each commit. */
  onRecorded({ events, known, handlers, rechecks }: RecordResult): void {
    if (events.length > 0 && this.stream.observed) this.emit(events, chainLink());
    if (events.length > 0) this.interceptors.onRecorded?.(events);
    if (known.length > 0) this.interceptors.onKnown?.(known);
    this.signals.committed({ rechecks, deliveries: handlers });
  }

  // Changes that a subscriber makes are one event further down the chain.
  private emit(events: readonly SparkEvent[], link: ChainLink): void {
    this.context.runNow(() => inChainOf(link, () => events.forEach((event) => this.stream.next(event))));
  }
}
