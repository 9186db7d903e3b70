import type { JournalFacts } from '../../database/facts.js';
import { error, type Found, ok, warning } from './finding.js';
import type { Patient } from './patient.js';

const WAL = 'wal';

/** Who sets up the connection: Spark, the application by itself, or nobody yet. */
export type SetUpBy = 'spark' | 'application' | 'nobody';

/** Whether processes can read a file while another one writes, and wait for one another. */
export function checkJournal(patient: Patient): Promise<Found[]> {
  const { application, spark } = patient;
  const by = !application ? 'nobody' : spark.settings.sqlite.serialize ? 'spark' : 'application';
  return patient.judged(
    (facts, runner) => facts.journal?.(runner),
    (facts) => judgeJournal(facts, by),
  );
}

/** Judges the journal of a file, and how long a statement waits. */
export function judgeJournal({ mode, busyTimeout }: JournalFacts, by: SetUpBy): Found[] {
  const found: Found[] = [];
  const without = `The journal is in the mode ${mode}, not ${WAL}: readers and a writer keep each other waiting.`;
  if (mode !== WAL && by === 'nobody')
    found.push(
      warning(
        without,
        'An application with Spark turns WAL on when it boots. With sqlite.serialize: false, set enableWAL: true in the DataSource.',
      ),
    );
  else if (mode !== WAL)
    found.push(
      error(
        without,
        by === 'spark'
          ? 'Spark could not turn WAL on. The file must be on a disk of this machine, and its folder must allow writes.'
          : 'Set enableWAL: true in the options of the DataSource.',
      ),
    );
  // Spark itself waits without blocking the process, and turns the waiting of SQLite off for that.
  if (busyTimeout === 0 && by === 'application')
    found.push(
      error(
        'A statement fails at once while another process writes, because busy_timeout is 0.',
        'Set timeout: 5000 in the options of the DataSource, or leave sqlite.serialize on.',
      ),
    );
  return found.length > 0 ? found : [ok(`The journal is in the mode ${mode}.`)];
}
