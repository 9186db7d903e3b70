import type { TablesState } from '../../database/schema/schema.js';
import { onTarget } from '../action.js';
import { commandOf } from '../command.js';
import { EXIT } from '../exit-codes.js';

/** `spark migrate status`: whether the tables have the version that this release needs. */
export const migrateStatusCommand = () =>
  onTarget(
    commandOf(
      {
        usage: 'status',
        does: 'Says whether the tables have the version that this release needs, and ends with 1 if not',
        examples: ['migrate status -d dist/data-source.js'],
      },
      (command) => command,
    ),
    async ({ target, output }) => {
      const { readTables } = await import('../target/tables.js');
      const state = await readTables(target);
      output.record(recordOf(state), () => output.text(wordsOf(state)));
      return isCurrent(state) ? EXIT.done : EXIT.failed;
    },
  );

/** Whether nothing is left to do. */
export const isCurrent = ({ pending, missing }: TablesState): boolean => pending.length + missing.length === 0;

/** The state of the tables as a record. */
export const recordOf = ({ version, needed, pending, missing }: TablesState) => ({
  version,
  needed,
  pending: pending.map(({ migration }) => migration),
  missing,
});

/** The state of the tables in a sentence. */
export function wordsOf(state: TablesState): string {
  const { version, needed, pending, missing } = state;
  if (isCurrent(state)) return `Spark's tables have version ${needed}, which this release needs.`;
  if (missing.length > 0)
    return `Spark's tables have version ${needed}, but these parts are missing: ${missing.join(', ')}.`;
  const names = pending.map(({ migration }) => migration).join(', ');
  const found = version === 0 ? 'There are no tables of Spark' : `Spark's tables have version ${version}`;
  return `${found}, and this release needs version ${needed}. Pending: ${names}.`;
}
