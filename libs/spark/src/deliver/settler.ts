import { Subject as Stream } from 'rxjs';
import type { EntityManager } from 'typeorm';
import type { DeliveryReport } from '../common/delivery-report.js';
import { SparkLog } from '../common/spark-log.js';
import type { SparkClock } from '../common/clock.js';
import type { Deliveries, Delivery } from '../store/deliveries.js';
import type { KeyedDelivery } from '../store/gathered.js';
import type { FailedAttempts } from '../store/failed-attempts.js';
import { PASSED_OVER_FOR, PassedOver } from './passed-over.js';
import type { NotKnownHere } from './undecided.js';
import type { WorkerLease } from '../store/worker-lease.js';
import type { Transactions } from '../database/transactions.js';
import { fingerprintOf } from '../error/fingerprint.js';
import { lineOf, linesOf, shown } from '../error/text-of.js';
import type { Counters } from '../common/counters.js';
import { deliveryFields } from './delivery-fields.js';
import type { Outcome } from './outcome.js';
import { Together } from './together.js';

/** An outcome that is reported: the attempt has ended, and its delivery is not left to others. */
type Reported = Exclude<Outcome, { state: 'undecided' | 'late' | 'gathered' }>;

/** Whether an outcome is reported. */
export const isReported = (outcome: Outcome): outcome is Reported =>
  outcome.state !== 'undecided' && outcome.state !== 'late' && outcome.state !== 'gathered';

/** The report of an attempt that has taken `durationMs` milliseconds. */
export function reportOf(delivery: Delivery, outcome: Reported, durationMs: number): DeliveryReport {
  const { id: deliveryId, handler, attempt, event } = delivery;
  const { key, group } = event;
  const state = outcome.state === 'stopped' ? 'available' : outcome.state;
  const report = { deliveryId, key, group, handler, state, attempt, durationMs };
  return outcome.state === 'completed' ? report : { ...report, error: outcome.error };
}

type Unfinished = Exclude<Outcome, { state: 'completed' | 'gathered' }>;

// How long deliveries wait when the database did not answer, or when a carrier has brought them to the wrong process, in milliseconds.
export const AWAY = 5_000;

/** Settles attempts: it writes down how they ended. Then it logs and reports that. */
export class Settler {
  private readonly logger = new SparkLog();
  private readonly stream = new Stream<DeliveryReport>();
  /** The deliveries that this process cannot decide on. It does not claim them for a while, so that others can. */
  readonly passed = new PassedOver();
  private readonly gathering = new Together<KeyedDelivery>((waiting) => this.gather(waiting));
  readonly reports$ = this.stream.asObservable();

  constructor(
    private readonly transactions: Transactions,
    private readonly lease: WorkerLease,
    private readonly deliveries: Deliveries,
    private readonly failedAttempts: FailedAttempts,
    private readonly clock: SparkClock,
    private readonly counters: Counters,
    /** Called when a delivery was given back that other processes may be able to handle. */
    private readonly onLeft: () => void,
    /** Called when a delivery is available again, from `due` on, in epoch milliseconds. */
    private readonly onAvailable: (due: number) => void,
  ) {}

  /**
   * Settles an attempt that took `durationMs` milliseconds. Returns whether the delivery was still ours; undefined if it could not be
   * settled.
   */
  async settle(delivery: Delivery, outcome: Outcome, durationMs: number): Promise<boolean | undefined> {
    // The handler's transaction has completed it.
    if (outcome.state === 'completed') return true;
    if (outcome.state === 'gathered') {
      const { key, due } = outcome;
      return new Promise((resolve) => this.gathering.add({ delivery, key, due }, resolve));
    }
    // The delivery is not given back here. Another process frees it with the lost lease, as a suspect, because its handler may be what
    // kept this process from renewing the lease.
    if (outcome.state === 'stopped' && !this.lease.holds(delivery.worker)) return true;
    const fingerprint = hasFailed(outcome) ? fingerprintOf(outcome.error) : undefined;
    try {
      return await this.lease.insist((refused) =>
        this.transactions.run(async (manager) => {
          const written = writable(outcome, refused);
          const isOurs = await this.end(manager, delivery, written, fingerprint);
          if (isOurs && fingerprint !== undefined)
            await this.failedAttempts.add(manager, delivery, { durationMs, error: written.error, fingerprint });
          return isOurs;
        }),
      );
    } catch (error) {
      this.logger.error(
        `Delivery ${delivery.id} of ${shown(delivery.event.key)} could not be settled: ${linesOf(error)}`,
        { ...deliveryFields(delivery), error },
      );
      return undefined;
    }
  }

  /** Lets deliveries wait with others of their keys. Returns the ids of those that were still ours. */
  private async gather(waiting: readonly KeyedDelivery[]): Promise<Set<string> | undefined> {
    try {
      return await this.lease.insist(() =>
        this.transactions.run((manager) => this.deliveries.gather(manager, waiting)),
      );
    } catch (error) {
      this.logger.error(
        `${waiting.length} deliveries of digests could not be settled, and are handled again: ${linesOf(error)}`,
        { deliveries: waiting.length, error },
      );
      return undefined;
    }
  }

  private end(
    manager: EntityManager,
    delivery: Delivery,
    outcome: Unfinished,
    fingerprint: string | undefined,
  ): Promise<boolean> {
    const now = this.clock.now();
    const { state, error } = outcome;
    if (state === 'discarded') return this.deliveries.discard(manager, delivery, now, error, fingerprint);
    if (state === 'skipped') return this.deliveries.skip(manager, delivery, now, error);
    if (state === 'late') return this.deliveries.giveBack(manager, delivery, outcome.due);
    if (state === 'stopped') return this.deliveries.giveBack(manager, delivery);
    if (state === 'available') return this.deliveries.retry(manager, delivery, outcome.due, error, fingerprint);
    // A carrier could bring it here again at once.
    if (!outcome.lacking || delivery.isCarried) return this.deliveries.giveBack(manager, delivery, now + AWAY);
    const isPassed = this.passed.add(delivery.id);
    return this.deliveries.giveBack(manager, delivery, isPassed ? undefined : now + PASSED_OVER_FOR);
  }

  /** Logs and reports a settled attempt. */
  report(delivery: Delivery, outcome: Outcome, durationMs: number, isOurs: boolean): void {
    if (!isOurs) return this.reportLost(delivery);
    if (outcome.state === 'undecided') return this.reportLacking(delivery, outcome.lacking);
    if (outcome.state === 'late' || outcome.state === 'gathered')
      return this.onAvailable(outcome.due ?? this.clock.now());
    if (outcome.state === 'completed' && !this.stream.observed) return;
    const report = reportOf(delivery, outcome, durationMs);
    if (outcome.state === 'completed') return this.stream.next(report);
    const { handler, attempt, event } = delivery;
    const { key } = event;
    const { state } = report;
    const what = `${shown(key)} for ${shown(handler)}`;
    const fields = { ...deliveryFields(delivery), state: outcome.state, durationMs };
    if (outcome.state === 'skipped') this.logger.debug(`${what} is skipped: ${outcome.error}`, fields);
    if (outcome.state === 'discarded')
      this.logger.error(`${what} is discarded after ${tries(attempt)}: ${linesOf(whyOf(outcome))}`, {
        ...fields,
        error: whyOf(outcome),
      });
    // One line, because more attempts may follow. Attempts that this process aborted are not logged here: the abort was.
    if (outcome.state === 'available')
      this.logger[outcome.isRepeated ? 'debug' : 'warn'](
        `${what} failed at attempt ${attempt}, will be retried at ${instant(outcome.due)}: ${lineOf(whyOf(outcome))}`,
        { ...fields, due: instant(outcome.due), error: whyOf(outcome) },
      );
    if (state === 'available') this.onAvailable('due' in outcome ? outcome.due : this.clock.now());
    this.stream.next(report);
  }

  private reportLost(delivery: Delivery): void {
    const { event, handler } = delivery;
    this.counters.count('fencedAttempts');
    this.logger.warn(
      `${shown(event.key)} for ${shown(handler)} was taken over by another process meanwhile.`,
      deliveryFields(delivery),
    );
  }

  private reportLacking({ event, handler }: Delivery, lacking: NotKnownHere | undefined): void {
    // If the database does not answer, one line is logged for all deliveries that wait.
    if (!lacking) return;
    const { kind, missing } = lacking;
    this.counters.reportOnce(
      'leftToOthers',
      `${kind} ${missing}`,
      () =>
        `${shown(event.key)} for ${shown(handler)} and all deliveries like it are left to other processes: they need the ${kind} ` +
        `${shown(missing)}, which this process does not have. If no process has it, ${REMEDIES[kind]}, or discard the deliveries.`,
      { handler, key: event.key, group: event.group, kind, missing },
    );
    this.onLeft();
  }
}

/** Whether the attempt counts as failed, so that its error becomes the error of the delivery. */
function hasFailed(outcome: Unfinished): boolean {
  if (outcome.state === 'available') return outcome.charged;
  return outcome.state === 'discarded' && !outcome.keepsError;
}

// The database may refuse the text of the error, because a column cannot hold one of its characters. The first retry replaces all
// characters that are not ASCII; later ones omit the text.
function writable<O extends { readonly error: string }>(outcome: O, refused: number): O {
  if (refused === 0) return outcome;
  const plain = outcome.error.replace(/[^\n\x20-\x7e]/gu, '?');
  return { ...outcome, error: refused === 1 ? plain : 'the database refuses the text of its error; the log has it' };
}

const RENAMED = 'name it among the `aliases` of the one that took its place';
const REMEDIES: Record<NotKnownHere['kind'], string> = {
  entity: 'list it in the entities of the DataSource',
  source: RENAMED,
  handler: RENAMED,
  version: 'deploy the release that has it',
};

const tries = (attempt: number): string => (attempt === 1 ? '1 attempt' : `${attempt} attempts`);

const whyOf = (outcome: { readonly error: string; readonly thrown?: unknown }): unknown =>
  'thrown' in outcome ? outcome.thrown : outcome.error;

const instant = (due: number): string => new Date(due).toISOString();
