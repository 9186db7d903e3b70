import type { OpenTransaction } from '../../database/facts.js';
import { timeText } from '../output/progress.js';
import { type Found, listed, ok, warning } from './finding.js';
import type { Patient } from './patient.js';

/** From when on a transaction is told, in milliseconds. */
const OLD = 5 * 60_000;

/** Whether transactions that stay open keep Spark waiting. */
export const checkLocks = (patient: Patient): Promise<Found[]> =>
  patient.judged(
    (facts, runner) => facts.openTransactions?.(runner, OLD).then((open) => open ?? ('refused' as const)),
    judgeLocks,
  );

/** Judges transactions that have been open for long, or that this user may not see them. */
export function judgeLocks(open: readonly OpenTransaction[] | 'refused'): Found[] {
  if (open === 'refused')
    return [
      warning(
        'The user of this connection may not see the transactions of others, so it is unknown whether one keeps locks.',
        'Grant it PROCESS, or run the doctor as a user that has it.',
      ),
    ];
  if (open.length === 0) return [ok('No transaction has kept locks for longer than 5 minutes.')];
  return open.map(({ connection, age, tables }) =>
    warning(
      `A transaction of the connection ${connection} is open for ${timeText(age)} and has locked ${listed(tables) || 'rows'}.`,
      'Find out what it waits for, or end it. Transactions of requests and handlers should be short.',
    ),
  );
}
