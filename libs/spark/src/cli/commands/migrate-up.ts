import { onTarget } from '../action.js';
import { commandOf } from '../command.js';
import { recordOf, wordsOf } from './migrate-status.js';

/** `spark migrate up`: creates the tables, or changes them to the version of this release. */
export const migrateUpCommand = () =>
  onTarget(
    commandOf(
      {
        usage: 'up',
        does: 'Creates the tables, or changes them to the version of this release',
        examples: ['migrate up -d dist/data-source.js'],
      },
      (command) => command,
    ),
    async ({ target, output }) => {
      const { migrateTables } = await import('../target/tables.js');
      const { before, after } = await migrateTables(target);
      const done = before.pending.map(({ migration }) => migration);
      output.record({ ...recordOf(after), done }, () => output.text(wordsOf(after)));
    },
  );
