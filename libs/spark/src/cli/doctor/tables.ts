import type { UnusedIndex } from '../../database/facts.js';
import { type TablesState, tablesState } from '../../database/schema/schema.js';
import { isCurrent, wordsOf } from '../commands/migrate-status.js';
import { error, type Found, ok } from './finding.js';
import type { Patient } from './patient.js';

/** Whether the tables are there, have the needed version, and all columns and indexes. */
export async function checkTables(patient: Patient): Promise<Found[]> {
  const state = await patient.reading((runner) => tablesState(runner, patient.spark.tables));
  return [isCurrent(state) ? ok(wordsOf(state)) : error(wordsOf(state), adviceFor(state))];
}

const adviceFor = ({ missing }: TablesState): string =>
  missing.length === 0
    ? 'Run: spark migrate up'
    : 'Run: spark migrate up. If the check "indexes" has found something, mend that first.';

/** Whether the database uses the indexes of Spark's tables. */
export const checkIndexes = (patient: Patient): Promise<Found[]> =>
  patient.judged((facts, runner) => facts.unusedIndexes?.(runner), judgeIndexes);

function judgeIndexes(unused: readonly UnusedIndex[]): Found[] {
  if (unused.length === 0) return [ok('The database uses all indexes that it has.')];
  return unused.map(({ table, index, repair }) =>
    error(
      `The database does not use the index ${index} of ${table}, so statements read the whole table.`,
      `Run: ${repair}. Then run: spark migrate up`,
    ),
  );
}
