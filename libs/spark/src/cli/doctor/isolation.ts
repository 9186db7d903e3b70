import type { IsolationFacts } from '../../database/facts.js';
import { error, type Found, ok, warning } from './finding.js';
import type { Patient } from './patient.js';

/** Whether the isolation that transactions have by default suits Spark. */
export const checkIsolation = (patient: Patient): Promise<Found[]> =>
  patient.judged((facts, runner) => facts.isolation?.(runner), judgeIsolation);

/** Judges the isolation of transactions for which nobody names one. */
export function judgeIsolation(facts: IsolationFacts): Found[] {
  const { level, collides, refusesReadCommitted, seesUncommitted } = facts;
  const found: Found[] = [];
  if (refusesReadCommitted)
    found.push(
      error(
        `The server writes its binary log by statement. So it refuses the writes of READ COMMITTED transactions, as all of Spark's are.`,
        'Set binlog_format of the server to MIXED or ROW.',
      ),
    );
  if (seesUncommitted)
    found.push(
      error(
        'Reads are READ UNCOMMITTED by default. So Spark sees rows that are rolled back later, and enters their events.',
        'Set the default of the server, and isolationLevel of the DataSource, to READ COMMITTED or REPEATABLE READ.',
      ),
    );
  if (collides)
    found.push(
      warning(
        `Transactions are ${level} by default. A save that enters an event while another transaction does so may fail, and must be run again.`,
        'Run transactions again that fail so, or set the default, or isolationLevel of the DataSource, to READ COMMITTED.',
      ),
    );
  return found.length > 0 ? found : [ok(`Transactions are ${level} by default.`)];
}
