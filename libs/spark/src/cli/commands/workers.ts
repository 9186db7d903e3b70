import { onTables } from '../action.js';
import { commandOf, groupOf } from '../command.js';
import { WORKERS } from './status.js';

/** `spark workers`: the processes that handle deliveries. */
export const workersCommands = () => groupOf('workers', 'Processes that handle deliveries', [listCommand()]);

const listCommand = () =>
  onTables(
    commandOf(
      {
        usage: 'list',
        does: 'Lists the processes that handle deliveries: those with a valid lease',
        examples: ['workers list --json'],
      },
      (command) => command,
    ),
    async ({ service, output }) => output.list(WORKERS, await service.workers(), 'No process handles deliveries.'),
  );
