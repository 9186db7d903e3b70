import { onTarget } from '../action.js';
import { commandOf } from '../command.js';
import { wordsOf } from './migrate-status.js';

/** `spark migrate sql`: prints the statements of `migrate up`, and changes nothing. */
export const migrateSqlCommand = () =>
  onTarget(
    commandOf(
      {
        usage: 'sql',
        does: 'Prints the statements of migrate up, and changes no table',
        examples: ['migrate sql -d dist/data-source.js > spark.sql'],
      },
      (command) => command,
    ),
    async ({ target, output }) => {
      const { planTables } = await import('../target/tables.js');
      const { state, statements } = await planTables(target);
      for (const sql of statements) output.record({ sql }, () => output.text(`${sql};`));
      if (statements.length === 0) output.note(wordsOf(state));
    },
  );
