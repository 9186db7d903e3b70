import type { RecheckRecord } from '../../inspect/records.js';
import { onTables } from '../action.js';
import { addEntityOptions, type EntityOptions, recheckFilter } from '../arguments/filters.js';
import { instant } from '../arguments/instant.js';
import { commandOf, groupOf } from '../command.js';
import type { Column } from '../output/table.js';
import { addPageOptions, type PageOptions, printPages } from './pages.js';

/** `spark rechecks`: entities whose sources run again. */
export const rechecksCommands = () => groupOf('rechecks', 'Entities whose sources run again', [listCommand()]);

interface Options extends EntityOptions, PageOptions {
  readonly from?: Date;
  readonly to?: Date;
}

const listCommand = () =>
  onTables<Options>(
    commandOf(
      {
        usage: 'list',
        does: 'Lists rechecks, the soonest first',
        examples: ['rechecks list --to +1d', 'rechecks list --entity Challenge --id 7'],
      },
      (command) =>
        addPageOptions(
          addEntityOptions(command)
            .option('--from <time>', 'due then or later: 2026-06-01, 2026-06-01T12:00Z, +2d', instant)
            .option('--to <time>', 'due before then', instant),
        ),
    ),
    async (invocation) => {
      const { service, dataSource, options } = invocation;
      const filter = recheckFilter(options, dataSource);
      await printPages(invocation, { columns: RECHECKS, none: 'No rechecks.' }, (page) =>
        service.rechecks(filter, page),
      );
    },
  );

const RECHECKS: readonly Column<RecheckRecord>[] = [
  { head: 'DUE', of: ({ due }) => due },
  { head: 'ENTITY', of: ({ entity }) => entity },
  { head: 'ID', of: ({ entityId }) => entityId },
  { head: 'FAILED', of: ({ attempt }) => attempt },
];
