import type { VacuumedTable, VacuumFacts } from '../../database/facts.js';
import { count } from '../output/progress.js';
import { error, type Found, listed, ok } from './finding.js';
import type { Patient } from './patient.js';

// Autovacuum has fallen behind at so many times the dead rows at which it begins, if it has not ended on the table for so long.
const TIMES = 10;
const SILENT = 60 * 60_000;

/** Whether autovacuum works on Spark's tables, whose rows come and go. */
export const checkVacuum = (patient: Patient): Promise<Found[]> =>
  patient.judged((facts, runner) => facts.vacuum?.(runner), judgeVacuum);

/** Judges autovacuum. */
export function judgeVacuum({ isOn, tables }: VacuumFacts): Found[] {
  const found: Found[] = [];
  if (!isOn) found.push(error('Autovacuum is off on this server.', 'Set autovacuum = on in its configuration.'));
  const off = tables.filter(({ isOff }) => isOff).map(({ table }) => table);
  if (off.length > 0)
    found.push(
      error(
        `Autovacuum is off for ${listed(off)}.`,
        `Turn it on for each of them: ALTER TABLE ${off[0]} RESET (autovacuum_enabled)`,
      ),
    );
  const behind = tables.filter(isBehind);
  if (behind.length > 0) {
    const each = behind.map(({ table, deadRows }) => `${table} (${count(deadRows)} dead rows)`);
    found.push(
      error(
        `Autovacuum is far behind: ${listed(each)}. Statements read these rows, too.`,
        `Run VACUUM (ANALYZE) on them, for example VACUUM (ANALYZE) ${behind[0]!.table}. Look for transactions that stay open for hours, ` +
          'because they keep dead rows, and for limits of autovacuum that are too low.',
      ),
    );
  }
  return found.length > 0 ? found : [ok('Autovacuum keeps up.')];
}

const isBehind = ({ deadRows, beginsAt, lastEnded = Infinity }: VacuumedTable): boolean =>
  deadRows > TIMES * beginsAt && lastEnded > SILENT;
