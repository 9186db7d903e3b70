import { select } from '../../database/statement.js';
import { timeText } from '../output/progress.js';
import { error, type Found, ok, warning } from './finding.js';
import type { Patient } from './patient.js';

/** Times that were read together, in epoch milliseconds. */
export interface ReadClocks {
  readonly database: number;
  /** The time of this process before and after the database was asked. */
  readonly asked: number;
  readonly answered: number;
  /** The latest time at which a process has registered its handlers, by that process; undefined if none has. */
  readonly registered: number | undefined;
  /** The time of the latest event, by the process that entered it. */
  readonly entered: number | undefined;
  /** How many processes have a lease. */
  readonly workers: number;
}

// A smaller difference may come from the network, and is normal between clocks that are synchronised.
const TOLERANCE = 1_000;
// Processes store times that they have read a moment before, and correct them by about a second.
const AHEAD = 5_000;
// Each process registers its handlers once a minute.
const SILENT = 3 * 60_000;

/** Whether the clocks of this process, of the database and of the processes that work agree. */
export async function checkClocks(patient: Patient): Promise<Found[]> {
  return judgeClocks(await readClocks(patient));
}

function readClocks(patient: Patient): Promise<ReadClocks> {
  const { dialect, tables } = patient.spark;
  const sql = `SELECT ${dialect.clock} AS database_now, (SELECT MAX(last_seen_at) FROM ${tables.handler}) AS registered,
    (SELECT recorded_at FROM ${tables.event} ORDER BY id DESC LIMIT 1) AS entered,
    (SELECT COUNT(*) FROM ${tables.worker} WHERE lease_until >= ${dialect.clock}) AS workers`;
  return patient.reading(async (runner) => {
    const asked = Date.now();
    const [row] = await select<Record<'database_now' | 'registered' | 'entered' | 'workers', string | null>>(
      runner,
      sql,
    );
    const answered = Date.now();
    const { database_now: now, registered, entered, workers } = row!;
    const time = (value: string | null) => (value === null ? undefined : Number(value));
    return {
      asked,
      answered,
      database: Number(now),
      registered: time(registered),
      entered: time(entered),
      workers: Number(workers),
    };
  });
}

/** Judges times that were read together. */
export function judgeClocks(read: ReadClocks): Found[] {
  const { database, registered, workers } = read;
  const found = ofThisProcess(read);
  const latest = Math.max(registered ?? 0, read.entered ?? 0);
  if (latest - database > AHEAD)
    found.push(
      error(
        `A process has stored a time that is ${timeText(latest - database)} ahead of the database's clock.`,
        'Synchronise the clocks of all machines, as by NTP. A SPARK_CLOCK of your own must agree with the database, too.',
      ),
    );
  else if (workers > 0 && registered !== undefined && database - registered > SILENT)
    found.push(
      error(
        `Processes work, but the last one that registered its handlers did so ${timeText(database - registered)} ago: their clocks are ` +
          'behind, or their maintenance fails. Handlers that have not been registered for 5 minutes count as gone.',
        'Synchronise the clocks of all machines, as by NTP. Look in the logs of the processes for errors of the maintenance.',
      ),
    );
  return found.length > 0 ? found : [ok('The clocks of this process, of the database and of other processes agree.')];
}

function ofThisProcess({ database, asked, answered }: ReadClocks): Found[] {
  const offset = Math.round(database - (asked + answered) / 2);
  if (Math.abs(offset) <= TOLERANCE + (answered - asked) / 2) return [];
  const side = offset > 0 ? 'ahead of' : 'behind';
  return [
    warning(
      `The database's clock is ${timeText(Math.abs(offset))} ${side} that of this process.`,
      'Synchronise the clocks of both machines, as by NTP. Until then, Spark goes by the database.',
    ),
  ];
}
