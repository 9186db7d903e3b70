import { SparkError } from '../../error/spark.error.js';
import { lineOf } from '../../error/text-of.js';
import { checkCharsets } from './charsets.js';
import { checkClocks } from './clocks.js';
import { checkDeliveries, checkOrphans } from './deliveries.js';
import { error, type Finding, type Found } from './finding.js';
import { checkHandlers, checkPauses } from './handlers.js';
import { checkIsolation } from './isolation.js';
import { checkJournal } from './journal.js';
import { checkLocks } from './locks.js';
import type { Patient } from './patient.js';
import { checkPool } from './pool.js';
import { checkProcesses, checkSweeps } from './processes.js';
import { checkShutdownHooks } from './shutdown-hooks.js';
import { checkIndexes, checkTables } from './tables.js';
import { checkVacuum } from './vacuum.js';

/** A check: what it needs, and how it is run. It reads few rows, whatever the size of the tables. */
interface Check {
  readonly name: string;
  /** `rows`: tables as this release needs them; `application`: a module that was booted. */
  readonly needs?: 'rows' | 'application';
  readonly run: (patient: Patient) => Promise<Found[]>;
}

const TABLES: Check = { name: 'tables', run: checkTables };

const CHECKS: readonly Check[] = [
  TABLES,
  { name: 'indexes', run: checkIndexes },
  { name: 'isolation', run: checkIsolation },
  { name: 'charsets', run: checkCharsets },
  { name: 'autovacuum', run: checkVacuum },
  { name: 'journal', run: checkJournal },
  { name: 'locks', run: checkLocks },
  { name: 'clocks', needs: 'rows', run: checkClocks },
  { name: 'processes', needs: 'rows', run: checkProcesses },
  { name: 'handlers', needs: 'rows', run: checkHandlers },
  { name: 'orphans', needs: 'rows', run: checkOrphans },
  { name: 'deliveries', needs: 'rows', run: checkDeliveries },
  { name: 'pauses', needs: 'rows', run: checkPauses },
  { name: 'sweeps', needs: 'rows', run: checkSweeps },
  { name: 'pool', needs: 'application', run: checkPool },
  { name: 'shutdown', needs: 'application', run: checkShutdownHooks },
];

/** What all checks have found, and the names of those that could not be run. */
export interface Examination {
  readonly findings: readonly Finding[];
  readonly leftOut: readonly string[];
}

/** Runs all checks, one after the other. A check that fails is a finding, and the others go on. Throws the signal's reason. */
export async function examine(patient: Patient, signal?: AbortSignal): Promise<Examination> {
  const findings: Finding[] = [];
  const leftOut: string[] = [];
  let hasRows = true;
  for (const check of CHECKS) {
    signal?.throwIfAborted();
    const { name, needs } = check;
    if ((needs === 'rows' && !hasRows) || (needs === 'application' && !patient.application)) {
      leftOut.push(name);
      continue;
    }
    const found = await check.run(patient).catch(failed);
    findings.push(...found.map((one) => ({ check: name, ...one })));
    if (check === TABLES) hasRows = found.every(({ status }) => status === 'ok');
  }
  return { findings, leftOut };
}

// Errors of Spark say themselves what to do.
const failed = (thrown: unknown): Found[] =>
  thrown instanceof SparkError
    ? [{ status: 'error', found: thrown.message, advice: undefined }]
    : [error(`It could not be checked: ${lineOf(thrown)}`, 'Mend what this names, and run the doctor again.')];
