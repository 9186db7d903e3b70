import { SparkLog } from '../common/spark-log.js';
import { backoffDelay } from '../config/backoff.js';
import { DiscardDelivery } from '../error/discard-delivery.error.js';
import { linesOf, shown, textOf } from '../error/text-of.js';
import { WorkerStoppedError } from '../error/worker-stopped.error.js';
import type { Handler } from '../handler/handler.registry.js';
import { RetryLater } from '../handler/retry-later.error.js';
import { NotNow } from './not-now.js';
import { TooLate } from './too-late.js';
import { NotKnownHere, Undecided } from './undecided.js';

/**
 * How an attempt ended.
 *
 * - `error` is the text of what was `thrown`; the delivery's row keeps it.
 * - `persisted`: the delivery's row says already that it is completed.
 * - `stopped`: this process aborted the attempt.
 * - `late`: the handler was not called, because it would have begun later than its rate limit has counted, or because the claim took longer than the lease.
 *   Or because of quiet hours: then it is `due` when they end.
 * - `gathered`: the delivery waits for others with the same `key`, until it is due.
 * - `undecided`: the handler could not be called, because this process lacks `lacking`, or because the database does not answer.
 */
export type Outcome =
  | { readonly state: 'completed'; readonly persisted: boolean }
  | { readonly state: 'discarded'; readonly error: string; readonly thrown?: unknown; readonly keepsError?: true }
  | { readonly state: 'skipped'; readonly error: string }
  | { readonly state: 'stopped'; readonly error: string }
  | { readonly state: 'late'; readonly error: string; readonly due?: number }
  | { readonly state: 'gathered'; readonly error: string; readonly key: string; readonly due: number }
  | { readonly state: 'undecided'; readonly error: string; readonly lacking: NotKnownHere | undefined }
  | {
      readonly state: 'available';
      readonly error: string;
      readonly thrown: unknown;
      readonly due: number;
      readonly charged: boolean;
      /** Whether another event of the same call has failed with the same error, so that it is logged already. */
      readonly isRepeated?: boolean;
    };

/** The attempt that failed. */
interface FailedAttempt {
  readonly handler: Handler;
  readonly attempt: number;
  readonly maxAttempts: number;
  /** In epoch ms. */
  readonly now: number;
  /** When each number of an attempt is due again. Attempts that share it, and fail at the same time, are due again at the same time. */
  readonly dues?: Map<number, number> | undefined;
}

/** Decides what follows from an error: another attempt and when, or none. */
export function outcomeOf(thrown: unknown, failed: FailedAttempt): Outcome {
  const { attempt, maxAttempts, now } = failed;
  const error = textOf(thrown);
  // `instanceof` of these classes never throws, for any thrown value.
  if (thrown instanceof Undecided) {
    const lacking = thrown instanceof NotKnownHere ? thrown : undefined;
    return { state: 'undecided', error: thrown.message, lacking };
  }
  if (thrown instanceof TooLate) return { state: 'late', error };
  if (thrown instanceof NotNow) return { state: 'late', error, due: thrown.until };
  if (thrown instanceof WorkerStoppedError) return { state: 'stopped', error };
  if (thrown instanceof DiscardDelivery) return { state: 'discarded', error, thrown };
  if (thrown instanceof RetryLater)
    return { state: 'available', error, thrown, due: now + thrown.milliseconds, charged: false };
  if (attempt >= maxAttempts) return { state: 'discarded', error, thrown };
  return { state: 'available', error, thrown, due: dueAfter(failed), charged: true };
}

function dueAfter({ handler, attempt, now, dues }: FailedAttempt): number {
  const due = dues?.get(attempt) ?? now + pauseAfter(handler, attempt);
  dues?.set(attempt, due);
  return due;
}

// If a backoff function fails, the delivery must be retried all the same.
function pauseAfter({ name, options }: Handler, attempt: number): number {
  try {
    return backoffDelay(attempt, options.backoff);
  } catch (error) {
    new SparkLog().error(`The backoff of ${shown(name)} failed; the default is used instead. ${linesOf(error)}`, {
      handler: name,
      attempt,
      error,
    });
    return backoffDelay(attempt);
  }
}
