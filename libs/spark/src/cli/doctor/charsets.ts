import type { CharsetFacts } from '../../database/facts.js';
import { error, type Found, listed, ok } from './finding.js';
import type { Patient } from './patient.js';

/** Whether all texts arrive in Spark's tables, and keys that differ stay apart. */
export const checkCharsets = (patient: Patient): Promise<Found[]> =>
  patient.judged((facts, runner) => facts.charsets?.(runner), judgeCharsets);

/** Judges the character sets of a connection and of columns. */
export function judgeCharsets({ connection, columns }: CharsetFacts): Found[] {
  const found: Found[] = [];
  if (connection.length > 0)
    found.push(
      error(
        `The connection carries texts in ${listed(connection)}, which lacks characters. What it lacks is lost on the way.`,
        `Set charset: 'utf8mb4' in the options of the DataSource.`,
      ),
    );
  if (columns.length > 0) {
    const each = columns.map(
      ({ table, column, collation, needed }) => `${table}.${column} is ${collation}, not ${needed}`,
    );
    found.push(
      error(
        `Columns of Spark's tables were converted: ${listed(each)}. Characters may be lost, and keys that differ may count as equal.`,
        'Give each of them the needed character set or collation again, by ALTER TABLE … MODIFY.',
      ),
    );
  }
  return found.length > 0 ? found : [ok('All texts arrive, and keys that differ stay apart.')];
}
